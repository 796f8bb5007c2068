package password

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/virtctl/failure"
)

// prompt asks twice, without an echo, on the terminal that is standard input.
func prompt(ctx context.Context, streams genericiooptions.IOStreams, whose string) (string, error) {
	file, ok := streams.In.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return "", failure.Usage("standard input is no terminal to ask for the password on: give a hash with --hash=- (`openssl passwd -6`)")
	}
	read := func(question string) (string, error) {
		return readSilently(ctx, int(file.Fd()), streams.ErrOut, question)
	}
	return twice(read, whose)
}

// twice reads a password and holds it against itself.
func twice(read func(question string) (string, error), whose string) (string, error) {
	first, err := read("New password for " + whose + ": ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errors.New("the password is empty: nothing was changed")
	}
	second, err := read("Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the passwords differ: nothing was changed")
	}
	return first, nil
}

// readSilently reads a line without an echo. The terminal is as it was
// afterwards, also when ctx ends first.
func readSilently(ctx context.Context, fd int, errOut io.Writer, question string) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("preparing the terminal: %w", err)
	}
	if _, err := io.WriteString(errOut, question); err != nil {
		return "", err
	}
	type line struct {
		text []byte
		err  error
	}
	lines := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		lines <- line{text, err}
	}()
	defer func() { _, _ = fmt.Fprintln(errOut) }()
	select {
	case <-ctx.Done():
		// The reader stays behind, in a program that is about to end.
		return "", errors.Join(context.Cause(ctx), term.Restore(fd, before))
	case got := <-lines:
		if got.err != nil {
			return "", fmt.Errorf("reading the password: %w", got.err)
		}
		return string(got.text), nil
	}
}
