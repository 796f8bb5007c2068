// Package failure gives each error of virtctl the exit code that scripts read.
package failure

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Code is what virtctl exits with.
type Code int

// The exit codes, as docs/virtctl.md tells them.
const (
	// Done: what was asked for has been done.
	Done Code = 0
	// General: something failed that has no code of its own.
	General Code = 1
	// Misused: the command line is wrong; nothing was asked of the cluster.
	Misused Code = 2
	// Missing: there is no such VM.
	Missing Code = 3
	// Late: the time limit passed first; what was asked for may still happen.
	Late Code = 4
	// Denied: it cannot be done in the VM's state, or is not allowed.
	Denied Code = 5
	// Some: of several things that are done each by itself some failed, and the
	// others are done.
	Some Code = 6
)

// coded is an error with its exit code.
type coded struct {
	code Code
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// Usage is an error of the command line. It is worded like fmt.Errorf, as the
// others are.
func Usage(format string, args ...any) error {
	return &coded{Misused, fmt.Errorf(format, args...)}
}

// NotFound says that there is no such VM.
func NotFound(format string, args ...any) error {
	return &coded{Missing, fmt.Errorf(format, args...)}
}

// TimedOut says that the time limit passed first.
func TimedOut(format string, args ...any) error {
	return &coded{Late, fmt.Errorf(format, args...)}
}

// Refused says that something cannot be done in the VM's state, or is not
// allowed.
func Refused(format string, args ...any) error {
	return &coded{Denied, fmt.Errorf(format, args...)}
}

// partly are errors beside which something was done.
type partly struct{ error }

func (e *partly) Unwrap() []error { return List(e.error) }

// Partly says that some failed, as err tells, and the others are done. Of nothing
// it is nothing.
func Partly(err error) error {
	if err == nil {
		return nil
	}
	return &partly{err}
}

// CodeOf returns the exit code of err. Of several errors it is the one that all
// of them have, or else General.
func CodeOf(err error) Code {
	switch e := err.(type) { //nolint:errorlint // the chain is walked here, branches and all
	case nil:
		return Done
	case *coded:
		return e.code
	case *partly:
		return Some
	case interface{ Unwrap() []error }:
		return common(e.Unwrap())
	case apierrors.APIStatus:
		return codeOfAPI(err)
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return CodeOf(inner)
		}
	}
	return General
}

func common(errs []error) Code {
	code := General
	for i, err := range errs {
		switch next := CodeOf(err); {
		case i == 0:
			code = next
		case next != code:
			return General
		}
	}
	return code
}

// List returns the errors that errors.Join joined, each of which is told on a
// line of its own, or err alone.
func List(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var lines []string
	for _, e := range joined.Unwrap() {
		all, lines = append(all, List(e)...), append(lines, e.Error())
	}
	if err.Error() != strings.Join(lines, "\n") {
		return []error{err} // a sentence that quotes several
	}
	return all
}
