// Package browser looks at the placement map in a real browser: Chromium, directed by
// playwright-core. `make test-browser` installs that and builds the programs first.
package browser

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shotsVariable, when set in the environment, names a folder for pictures of the
// pages.
const shotsVariable = "DOMUS_BROWSER_SHOTS"

// bin is the folder of the built programs.
var bin = filepath.Join("..", "..", "bin")

// watch runs a script of this folder on a page. Whatever it asks for is done by act;
// what it tells is returned.
func watch(t *testing.T, script, url string, hosts int, act func(what string) error) map[string]string {
	t.Helper()
	browser := chromium(t)
	if _, err := os.Stat(filepath.Join("node_modules", "playwright-core")); err != nil {
		t.Fatalf("%v: run make test-browser", err)
	}
	nodeIsNew(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Env = append(os.Environ(), "MAP_URL="+url, fmt.Sprint("HOSTS=", hosts), "CHROMIUM="+browser)
	if folder := os.Getenv(shotsVariable); folder != "" {
		cmd.Env = append(cmd.Env, "SHOTS="+folder)
	}
	cmd.Stderr = t.Output()
	answers, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	says, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	lines := bufio.NewScanner(says)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "ask":
			answer := "done"
			if err := act(rest); err != nil {
				answer = strings.ReplaceAll(err.Error(), "\n", " ")
			}
			if _, err := io.WriteString(answers, answer+"\n"); err != nil {
				t.Error(err)
			}
		case "tell":
			name, value, _ := strings.Cut(rest, " ")
			told[name] = value
			t.Logf("%s: %s", name, value)
		default:
			t.Log(lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return told
}

// chromium is the browser's program; CHROMIUM in the environment names another.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium: run make deps, or set CHROMIUM to the path of one")
	return ""
}

// oldestNode is the oldest Node.js that playwright-core runs on.
const oldestNode = 18

func nodeIsNew(t *testing.T) {
	t.Helper()
	out, err := exec.Command("node", "--version").Output()
	if err != nil {
		t.Fatalf("asking Node.js for its version: %v: run make deps", err)
	}
	major := 0
	if _, err := fmt.Sscanf(string(out), "v%d.", &major); err != nil || major < oldestNode {
		t.Fatalf("Node.js is %s: version %d or later is needed", out, oldestNode)
	}
}
