package docs

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	domusdev "domus.dev/domus/cmd/domus-dev/app"
	vmexecutor "domus.dev/domus/cmd/vm-executor/app"
	vmscheduler "domus.dev/domus/cmd/vm-scheduler/app"
	"domus.dev/domus/pkg/virtctl"
	"domus.dev/domus/test/internal/pages"
)

// Each block of commands is run, or says why not. One on a page that decides nothing
// is read like all others by TestCommandsAreThere, and counted here.
func TestCommandsAreDecided(t *testing.T) {
	count := map[pages.Decision]int{}
	for _, page := range read(t) {
		undecided := 0
		for _, b := range page.Blocks {
			if !b.Commands() || b.Setup {
				continue
			}
			count[b.Decision]++
			if b.Decision != pages.Undecided {
				continue
			}
			undecided++
			// Where a page has decided about one, it has to about all.
			for _, other := range page.Blocks {
				if other.Commands() && other.Decision != pages.Undecided {
					t.Errorf("%s:%d: nothing says whether these commands are run: see test/docs/README.md", page.Path, b.Line)
					break
				}
			}
		}
		if undecided > 0 && strings.HasPrefix(page.Path, "docs/") {
			t.Logf("%s: %d blocks of commands are only read: say above them <!-- commands: run -->, or not run: and why", page.Path, undecided)
		}
	}
	t.Logf("blocks of commands: %d run, %d meant to fail, %d not run for a reason, %d only read",
		count[pages.Run], count[pages.RunFails], count[pages.NotRun], count[pages.Undecided])
	if count[pages.Run] == 0 {
		t.Error("no page has its commands run")
	}
}

// What pages show is bash, and the project's own programs have the commands and flags
// that it calls them with, whether it is run or not.
func TestCommandsAreThere(t *testing.T) {
	for _, page := range read(t) {
		for _, b := range page.Blocks {
			if !b.Commands() || b.Decision == pages.RunFails {
				continue
			}
			for _, step := range shown(b) {
				calls, err := pages.Calls(step.Commands)
				if err != nil {
					t.Errorf("%s:%d: %v", page.Path, step.Line, err)
					continue
				}
				for _, words := range calls {
					if err := understood(words); err != nil {
						t.Errorf("%s:%d: %s: %v", page.Path, step.Line, strings.Join(words, " "), err)
					}
				}
			}
		}
	}
}

// shown are the commands of a block, whatever is decided about it.
func shown(b pages.Block) []pages.Step {
	b.Decision = pages.Run
	page := pages.Page{Blocks: []pages.Block{b}}
	return page.Steps()
}

// understood says whether a program of the project's has such a command with such
// flags. Other programs are not looked at.
func understood(words []string) error {
	programs := map[string]func() *cobra.Command{
		"virtctl":      func() *cobra.Command { return virtctl.NewCommand("", strings.NewReader(""), io.Discard, io.Discard) },
		"domus-dev":    func() *cobra.Command { return domusdev.NewCommand("") },
		"vm-executor":  func() *cobra.Command { return vmexecutor.NewCommand("") },
		"vm-scheduler": vmscheduler.NewCommand,
	}
	program, ours := programs[words[0]]
	if !ours {
		return nil
	}
	cmd, rest, err := program().Find(words[1:])
	if err != nil {
		return err
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("%s has no command %s", cmd.CommandPath(), rest[0])
	}
	cmd.InitDefaultHelpFlag()
	err = cmd.ParseFlags(rest)
	if errors.Is(err, pflag.ErrHelp) {
		return nil
	}
	return err
}

func TestUnderstood(t *testing.T) {
	for words, want := range map[string]bool{
		"virtctl stop -n demo x --wait":            true,
		"virtctl stop --wiat":                      false,
		"virtctl snapshot create x --memory":       true,
		"virtctl snapshot craete x":                false,
		"virtctl sotp x":                           false,
		"domus-dev up --dir x --simulated-hosts 3": true,
		"domus-dev up --simulated-hosts many":      false,
		"vm-executor --config x":                   true,
		"vm-executor --conf x":                     false,
		"vm-scheduler --feature-gate=x=true":       false,
		"vm-scheduler --webhook-port 0":            true,
		"kubectl anything":                         true,
	} {
		if err := understood(strings.Fields(words)); (err == nil) != want {
			t.Errorf("%s: %v", words, err)
		}
	}
}

// bare are the beginnings of commands that stand in a block without a language.
var bare = regexp.MustCompile(`^(kubectl|virtctl|virsh|sudo|make|curl|promtool|domus-dev|vm-(executor|scheduler)|(bin|hack)/\S+|go test) `)

// Where a page has decided about its commands, none of them hide in blocks that look
// like output.
func TestCommandsAreMarked(t *testing.T) {
	for _, page := range read(t) {
		if page.Commands == pages.Undecided {
			continue
		}
		for _, b := range page.Blocks {
			if b.Language == "" && len(b.Lines) > 0 && bare.MatchString(b.Lines[0]) {
				t.Errorf("%s:%d: %s: is a command: write ```sh, or $ before it", page.Path, b.Line, b.Lines[0])
			}
		}
	}
}
