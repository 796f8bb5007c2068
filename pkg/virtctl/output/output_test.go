package output

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestColoursOnlyWhereTheyAreWanted(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"a terminal":        {nil, true},
		"NO_COLOR":          {map[string]string{"NO_COLOR": "1"}, false},
		"an empty NO_COLOR": {map[string]string{"NO_COLOR": ""}, true},
		"a dumb terminal":   {map[string]string{"TERM": "dumb"}, false},
	} {
		if got := coloured(func(k string) string { return test.env[k] }); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := PaintFor(&bytes.Buffer{}).Bad("text"); got != "text" {
		t.Errorf("no terminal: %q", got)
	}
	if got := (Paint{on: true}).Phase(v1alpha1.PhaseFailed); got != "\x1b[31mFailed\x1b[0m" {
		t.Errorf("%q", got)
	}
}

func TestProgressIsOneLine(t *testing.T) {
	var out bytes.Buffer
	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	p := &Progress{out: &out, shown: true, clock: fake, width: func() int { return 20 }}
	p.start()
	p.Say("web-1:  needs\n10 vCPUs and more")
	p.Say("web-1: needs 10 vCPUs and more")
	if err := p.Aside(func() error { _, err := out.WriteString("web-0 runs\n"); return err }); err != nil {
		t.Fatal(err)
	}
	p.Say("web-1: needs 10 vCPUs and more")
	p.Stop()
	p.Stop()
	line := "\r\x1b[Kweb-1: needs … (0s)"
	if want := line + "\r\x1b[Kweb-0 runs\n" + line + "\r\x1b[K"; out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
	if width := len([]rune(strings.TrimPrefix(line, "\r\x1b[K"))); width >= 20 {
		t.Errorf("%d characters reach the edge of 20", width)
	}
}

func TestATerminalThatDoesNotTellItsWidth(t *testing.T) {
	if known(0, nil) != 80 || known(50, errors.New("no terminal")) != 80 || known(132, nil) != 132 {
		t.Error("a line would be cut to nothing, or break")
	}
}

func TestProgressIsSilentWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.Say("text")
	p.Stop()
	if out.Len() > 0 {
		t.Errorf("wrote %q", out.String())
	}
}

func TestProgressOnADumbTerminalIsALineForEachChange(t *testing.T) {
	var out bytes.Buffer
	p := &Progress{out: &out, shown: true, lines: true, clock: clock.RealClock{}, width: func() int { return 10 }}
	p.start()
	for _, text := range []string{"a long line of text", "a long line of text", "b"} {
		p.Say(text)
	}
	p.Stop()
	if want := "a long line of text\nb\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestTableOfNothingIsNothing(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, []string{"A"}, nil); err != nil || out.Len() > 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestSafeLeavesTheTerminalAlone(t *testing.T) {
	if got, want := Safe("a\x1b[2Jb\nc\u009bd é\n"), "a\ufffd[2Jb c\ufffdd é"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
