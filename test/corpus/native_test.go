package corpus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// wantNative is how many domains must run as the same command of QEMU. There are
// some 300 that libvirt 9.0.0 takes on a host with nothing but QEMU.
const wantNative = 200

// mostCrashes bounds how often virsh is started anew after a document that it
// crashes on: libvirt 9.0.0 does on interfaces of type hostdev.
const mostCrashes = 30

// TestDomainsRunAsTheSameCommand asks libvirt (virsh domxml-to-native qemu-argv)
// with which command it would run each domain of its test data, as it is and
// after the way to YAML and back.
func TestDomainsRunAsTheSameCommand(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("root is needed for a QEMU driver in namespaces of its own: run make corpus, which uses sudo")
	}
	for _, tool := range []string{"virsh", "unshare", "bash", "qemu-system-x86_64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: run make deps", tool)
		}
	}
	// A short path: sockets lie below it.
	dir, err := os.MkdirTemp("", "domus-native")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	var names, paths []string
	files := documents(t, libvirtFolder)
	bad := invalid(t, libvirtFolder, files)
	for _, f := range files {
		if _, ok := bad[f.name]; ok || f.kind != xmldoc.KindDomain || !argumentsData.MatchString(f.name) {
			continue
		}
		doc, err := document.Read(f.name, f.text, limits)
		if err != nil {
			t.Fatal(err)
		}
		text, errs := document.Write(doc.Kind, doc.Value, nil)
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		back := filepath.Join(dir, strconv.Itoa(len(names))+".xml")
		if err := os.WriteFile(back, text, 0o600); err != nil {
			t.Fatal(err)
		}
		original, err := filepath.Abs(filepath.Join(libvirtFolder, f.name))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, f.name)
		// The original twice: where libvirt makes up a MAC address, say, no two
		// answers are the same.
		paths = append(paths, original, original, back)
	}

	answers, crashes := native(t, dir, paths)
	same, random, refused := 0, 0, 0
	for i, name := range names {
		first, again, back := answers[3*i], answers[3*i+1], answers[3*i+2]
		switch {
		case (first == "") != (back == ""):
			t.Errorf("%s: libvirt takes only one of the original and what came back:\n%s\n%s", name, first, back)
		case first == "":
			refused++
		case first != again:
			random++
		case first != back:
			t.Errorf("%s: the command is\n%s\nand was\n%s", name, back, first)
		default:
			same++
		}
	}
	fmt.Printf("virsh domxml-to-native: %d domains run as the same command after XML, YAML, XML; "+
		"%d are of hosts unlike this one, %d with something random, libvirt crashed on %d documents\n", same, refused, random, crashes)
	if same < wantNative {
		t.Errorf("%d domains, want at least %d", same, wantNative)
	}
}

// argumentsData are the folders whose domains libvirt turns into commands in its
// own tests, by their name before and after release 9.10.
var argumentsData = regexp.MustCompile(`^tests/(qemuxml2argvdata|qemuxmlconfdata)/`)

// native asks for the command of each document; "" for one that libvirt does not
// take.
func native(t *testing.T, dir string, paths []string) (answers []string, crashes int) {
	t.Helper()
	answers = make([]string, len(paths))
	for next := 0; next < len(paths); {
		var script strings.Builder
		for i := next; i < len(paths); i++ {
			fmt.Fprintf(&script, "echo BEGIN-%d\ndomxml-to-native qemu-argv --xml '%s'\n", i, paths[i])
		}
		script.WriteString("echo BEGIN-end\n")
		out, errOut := virsh(t, dir, script.String())
		last := next - 1
		ended := false
		for _, part := range beginning.FindAllStringSubmatch(out, -1) {
			if part[1] == "end" {
				ended = true
				continue
			}
			if i, err := strconv.Atoi(part[1]); err == nil && i < len(paths) {
				last = i
				answers[i] = strings.TrimSpace(part[2])
			}
		}
		if ended {
			return answers, crashes
		}
		if crashes++; crashes > mostCrashes || last < next {
			t.Fatalf("virsh ends after %d of %d documents: %s", last+1, len(paths), errOut)
		}
		answers[last] = ""
		next = last + 1
	}
	return answers, crashes
}

// beginning matches what virsh prints for one document: its prompt and the
// commands it reads are part of that.
var beginning = regexp.MustCompile(`BEGIN-(\w+)virsh # (?:domxml-to-native [^\n]*\n((?:LC_ALL[^\n]*?)?))?(?:\n?virsh # |\n|$)`)

// virsh runs commands on a QEMU driver that is alone with itself.
func virsh(t *testing.T, dir, script string) (out, errOut string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child",
		"bash", "native.sh", filepath.Join(dir, "root"))
	command.Stdin = strings.NewReader(script)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = 5 * time.Second
	err := command.Run()
	if ctx.Err() != nil {
		t.Fatalf("virsh did not end in time: %s", tail(stderr.String()))
	}
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), tail(stderr.String())
}

func tail(s string) string { return s[max(len(s)-2000, 0):] }
