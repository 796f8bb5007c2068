package libvirtdoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/failure"
)

// Output says how objects are written, and where to.
type Output struct {
	// Format is empty where the user says nothing.
	Format string
	// Directory is the folder that gets a file for each; empty for standard output.
	Directory string
	force     bool
	bare      bool
}

// AddFlags adds -o, -d, --force and --bare; usage is that of -o.
func (o *Output) AddFlags(cmd *cobra.Command, usage string) {
	flags := cmd.Flags()
	flags.StringVarP(&o.Format, "output", "o", "", usage)
	flags.StringVarP(&o.Directory, "directory", "d", "", "Write each document into a file of its own in this folder, which is made where it is missing.")
	flags.BoolVar(&o.force, "force", false, "With --directory: overwrite files that say something else.")
	flags.BoolVar(&o.bare, "bare", false, "XML without what only Domus understands, such as labels and where to run: on the way back that is lost.")
	complete.Flag(cmd, "output", Formats...)
	// The flag is there: it was just added.
	_ = cmd.MarkFlagDirname("directory")
}

// Check refuses what is wrong with the flags.
func (o *Output) Check() error {
	if o.Format != "" && !slices.Contains(Formats, o.Format) {
		return failure.Usage("--output=%s is no format: choose one of %s", o.Format, strings.Join(Formats, ", "))
	}
	if o.bare && o.Format != "" && o.Format != string(documents.XML) {
		return failure.Usage("--bare is about XML, and --output=%s is asked for: leave one of them out", o.Format)
	}
	if o.force && o.Directory == "" {
		return failure.Usage("--force is about the files of --directory: give that too")
	}
	return nil
}

// ToOptions are those by which objects are written as XML.
func (o *Output) ToOptions() objects.ToOptions { return objects.ToOptions{Bare: o.bare} }

// Written is an object as text.
type Written struct {
	// Of is what it is called in messages.
	Of string
	// Kind, Namespace and Name are the object's.
	Kind, Namespace, Name string
	Text                  []byte
}

// TextOf writes what was read. An error is about the document.
func TextOf(read *Read, format documents.Format, opts objects.ToOptions) (Written, error) {
	text, err := Text(read.Object, format, opts)
	if err != nil {
		return Written{}, placed(read.Document, err)
	}
	return Written{
		Of: read.String(), Kind: read.Object.GetObjectKind().GroupVersionKind().Kind,
		Namespace: read.Object.GetNamespace(), Name: read.Object.GetName(), Text: text,
	}, nil
}

// Print writes what was read, and returns what went wrong: errs, which came before,
// and what cannot be written, which does not keep the rest from it. It is a
// failure.Partly where some are written all the same.
func (o *Output) Print(out io.Writer, format documents.Format, read []Read, errs ...error) error {
	var texts []Written
	for i := range read {
		text, err := TextOf(&read[i], format, o.ToOptions())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		texts = append(texts, text)
	}
	done, err := o.write(out, format, texts)
	err = errors.Join(append(errs, err)...)
	if err != nil && done > 0 {
		return failure.Partly(err)
	}
	return err
}

// write writes the texts and returns how many are written. One that cannot be does
// not keep the others from it.
func (o *Output) write(out io.Writer, format documents.Format, texts []Written) (int, error) {
	if o.Directory == "" {
		if len(texts) == 0 {
			return 0, nil
		}
		all := make([][]byte, len(texts))
		for i := range texts {
			all[i] = texts[i].Text
		}
		return len(texts), Stream(out, format, all)
	}
	if err := os.MkdirAll(o.Directory, 0o755); err != nil {
		return 0, fmt.Errorf("making the folder of --directory: %w", err)
	}
	var errs []error
	done := 0
	names := fileNames(texts)
	for i := range texts {
		path, err := o.writeFile(format, &texts[i], names[i])
		if err == nil {
			_, err = fmt.Fprintln(out, path)
			done++
		}
		errs = append(errs, err)
	}
	return done, errors.Join(errs...)
}

// writeFile writes one file, whole or not at all. name is that of fileNames.
func (o *Output) writeFile(format documents.Format, w *Written, name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("%s: it has no name to call a file by: write it without --directory", w.Of)
	}
	path := filepath.Join(o.Directory, name+"."+string(format))
	there, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(there, w.Text):
		return path, nil
	case err == nil && !o.force:
		return "", fmt.Errorf("%s: %s is there and says something else: give --force, or another folder", w.Of, path)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%s: %w", w.Of, err)
	}
	return path, replace(path, w.Text)
}

// replace puts a file in the place of another, so that one of them is there at any
// time.
func replace(path string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".virtctl-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(text)
	// As a file that is created in the usual way: nothing in it is more secret than
	// what it was made of.
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(file.Name(), path)
}
