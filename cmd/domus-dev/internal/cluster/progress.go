package cluster

import (
	"fmt"
	"io"
	"time"
)

// Progress prints what happens, a line each, with the time since the start.
type Progress struct {
	out   io.Writer
	start time.Time
}

// NewProgress writes to out and counts from now.
func NewProgress(out io.Writer) *Progress { return &Progress{out: out, start: time.Now()} }

// Say prints one line about a subject.
func (p *Progress) Say(subject, format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%7.1fs  %-22s %s\n", time.Since(p.start).Seconds(), subject, fmt.Sprintf(format, args...))
}
