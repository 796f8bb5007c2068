package commands

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domus.dev/domus/test/internal/pages"
)

// patience is how long commands that only look are repeated until they print what the
// page shows: what was asked for before takes effect meanwhile.
const patience = 40 * time.Second

// first are the pages that are walked through before all others, as readers do; the
// audit that they show counts the writes of the demo alone.
var first = []string{"README.md", "docs/quickstart.md"}

// pause is between two tries.
const pause = 300 * time.Millisecond

// limit is how long commands may take.
const limit = 2 * time.Minute

func TestPages(t *testing.T) {
	all, err := pages.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	rank := func(p *pages.Page) int {
		if i := slices.Index(first, p.Path); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortStableFunc(all, func(a, b *pages.Page) int { return cmp.Compare(rank(a), rank(b)) })
	for _, page := range all {
		steps := page.Steps()
		if len(steps) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(page.Path, ".md"), func(t *testing.T) {
			start := time.Now()
			before, err := env.objects(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			walk(t, page.Path, steps)
			if err := env.putBack(context.WithoutCancel(t.Context()), before); err != nil {
				t.Errorf("removing what the page has made: %v", err)
			}
			t.Logf("%d commands or blocks of them, %s", len(steps), time.Since(start).Round(time.Second))
		})
	}
}

// walk runs the steps of a page, to the first that goes wrong.
func walk(t *testing.T, name string, steps []pages.Step) {
	s, err := newShell(env.checkout, t.TempDir(), env.environment())
	if err != nil {
		t.Fatal(err)
	}
	defer s.end()
	for _, step := range steps {
		deadline := time.Now().Add(patience)
		for {
			wrong := once(t.Context(), s, step)
			if wrong == "" {
				break
			}
			if step.Output == nil || time.Now().After(deadline) || !pages.OnlyLook(step.Commands) {
				t.Errorf("%s:%d: %s\n%s", name, step.Line, step.Commands, wrong)
				return
			}
			time.Sleep(pause)
		}
	}
}

// once runs a step and says what is wrong with how it went.
func once(ctx context.Context, s *shell, step pages.Step) string {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	output, code, err := s.run(ctx, step.Commands)
	printed := "printed:\n" + strings.Join(output, "\n")
	switch {
	case err != nil:
		return err.Error() + "\n" + printed
	case step.Decision == pages.RunFails && code == 0 && step.Output == nil:
		return "is meant to fail, and does not\n" + printed
	case step.Decision == pages.Run && code != 0 && step.Output == nil:
		return "failed\n" + printed
	}
	if err := pages.Same(step.Output, output, step.NumbersDiffer); err != nil {
		return err.Error()
	}
	return ""
}

// The shell goes on from block to block, and sees failures that are not the last.
func TestShell(t *testing.T) {
	s, err := newShell(t.TempDir(), t.TempDir(), os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	defer s.end()
	for _, c := range []struct {
		commands, output string
		code             int
	}{
		{"export A=1\nf() { echo $A$1; }\n", "", 0},
		{"f 2\n", "12", 0},
		{"false\necho after\n", "after", 1},
		{"(exit 5)\n", "", 5},
		{"echo $?\n", "5", 0},
		{"echo $?\n", "0", 0},
		{"cat <<'END'\n$A\nEND\n", "$A", 0},
		{"grep no /dev/null | cat\n", "", 1},
		{"if false; then :; fi\nfalse || true\n", "", 0},
		{"ls /nowhere\n", "...No such file or directory", 2},
	} {
		output, code, err := s.run(t.Context(), c.commands)
		if err != nil {
			t.Fatal(err)
		}
		if err := pages.Same([]string{c.output}, output, false); err != nil || code != c.code {
			t.Errorf("%q: code %d, %v", c.commands, code, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := s.run(ctx, "sleep 60\n"); err == nil {
		t.Error("commands that do not end are waited for")
	}
}

// root is the project's, from the folder of the tests.
var root = filepath.Join("..", "..", "..")
