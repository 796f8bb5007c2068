package output

import (
	"io"
	"os"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Paint colours text for a terminal, and leaves it as it is anywhere else.
type Paint struct{ on bool }

// The colours, as SGR codes of ECMA-48.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

// PaintFor returns the paint for out: none unless it is a terminal with colours,
// and the user has not set NO_COLOR (https://no-color.org).
func PaintFor(out io.Writer) Paint {
	return Paint{on: IsTerminal(out) && coloured(os.Getenv)}
}

func coloured(env func(string) string) bool {
	return env("NO_COLOR") == "" && env("TERM") != "dumb"
}

// Heading makes text stand out.
func (p Paint) Heading(text string) string { return p.with(bold, text) }

// Good is for what is as it shall be.
func (p Paint) Good(text string) string { return p.with(green, text) }

// Warn is for what is on its way or needs a look.
func (p Paint) Warn(text string) string { return p.with(yellow, text) }

// Bad is for what has failed.
func (p Paint) Bad(text string) string { return p.with(red, text) }

// Phase colours a VM's phase.
func (p Paint) Phase(phase v1alpha1.Phase) string {
	switch phase {
	case v1alpha1.PhaseRunning:
		return p.Good(string(phase))
	case v1alpha1.PhaseFailed, v1alpha1.PhaseInvalid:
		return p.Bad(string(phase))
	case v1alpha1.PhaseStopped, v1alpha1.PhaseEnded, v1alpha1.PhaseSuspended:
		return string(phase)
	}
	return p.Warn(string(phase))
}

func (p Paint) with(colour, text string) string {
	if !p.on || text == "" {
		return text
	}
	return colour + text + reset
}
