package output

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
	"k8s.io/utils/clock"
)

// Progress tells on a terminal what is being waited for, in one line that is
// written anew. Anywhere else it is silent. It may be used by several at once.
type Progress struct {
	out   io.Writer
	shown bool
	width func() int
	clock clock.WithTicker

	mu    sync.Mutex
	text  string
	since time.Time
	lines bool
	ended chan struct{}
	done  sync.WaitGroup
}

// NewProgress returns the progress for errOut. Stop ends it.
func NewProgress(errOut io.Writer) *Progress {
	fd, shown := descriptor(errOut)
	p := &Progress{out: errOut, shown: shown, lines: dumb(), clock: clock.RealClock{}, width: func() int {
		width, _, err := term.GetSize(fd)
		return known(width, err)
	}}
	p.start()
	return p
}

// known is the width of a terminal, or what all have that do not tell theirs: a
// serial line says 0.
func known(width int, err error) int {
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// start has the line count seconds.
func (p *Progress) start() {
	p.since, p.ended = p.clock.Now(), make(chan struct{})
	if !p.shown || p.lines {
		return
	}
	ticker := p.clock.NewTicker(time.Second)
	p.done.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-p.ended:
				return
			case <-ticker.C():
				p.mu.Lock()
				p.write()
				p.mu.Unlock()
			}
		}
	})
}

// Say tells what is being waited for now.
func (p *Progress) Say(text string) {
	if !p.shown {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text = strings.Join(strings.Fields(text), " ")
	if text == p.text {
		return
	}
	p.text = text
	if p.lines {
		_, _ = fmt.Fprintln(p.out, text)
		return
	}
	p.write()
}

// Aside has write write lines to any stream of the same terminal: the line of
// progress makes room for them, until something is said again.
func (p *Progress) Aside(write func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.text = ""
	return write()
}

// Stop removes the line.
func (p *Progress) Stop() {
	p.mu.Lock()
	p.clear()
	p.text = ""
	p.mu.Unlock()
	select {
	case <-p.ended:
	default:
		close(p.ended)
	}
	p.done.Wait()
}

func (p *Progress) clear() {
	if p.shown && !p.lines && p.text != "" {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}

// write writes the line, cut to the terminal's width: one that breaks could not
// be written anew.
func (p *Progress) write() {
	if !p.shown || p.lines || p.text == "" {
		return
	}
	seconds := fmt.Sprintf(" (%ds)", int(p.clock.Since(p.since).Seconds()))
	_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s%s", cut(p.text, p.width()-utf8.RuneCountInString(seconds)-1), seconds)
}

// cut shortens text to width characters.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= max(width, 0) {
		return text
	}
	if width < 1 {
		return ""
	}
	return string(runes[:width-1]) + "…"
}
