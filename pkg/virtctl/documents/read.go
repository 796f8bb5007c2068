package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"domus.dev/domus/pkg/convert/xmldoc"
)

// maxFileBytes bounds a file: thousands of documents of the usual size.
const maxFileBytes = 64 << 20

// StandardInput is what standard input is called in messages.
const StandardInput = "standard input"

// Extensions are the endings of the files that are read of a folder.
var Extensions = []string{".xml", ".yaml", ".yml", ".json"}

// Read reads the documents of files, of all files of folders, and of in where the
// path is "-". Those of one file stay in their order, and the files of a folder
// are read in the order of their names. With an error, which joins all that is
// wrong, the documents that can be read are returned.
func Read(paths []string, in io.Reader) ([]Document, error) {
	var out []Document
	var errs []error
	for _, path := range paths {
		if path == "-" {
			documents, err := read(StandardInput, in)
			out, errs = append(out, documents...), append(errs, err)
			continue
		}
		files, err := filesOf(path)
		errs = append(errs, err)
		for _, file := range files {
			documents, err := readFile(file)
			out, errs = append(out, documents...), append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

// filesOf is the file at a path, or those of the folder there and of the folders in
// it: each once, though links lead to it too, as in /etc/libvirt/qemu/autostart.
// Hidden ones, and those whose names do not end as documents' do, are left out.
func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, reason(err))
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	var seen []os.FileInfo
	var errs []error
	// Links come last: a file keeps the name under which it really is there.
	var links []string
	add := func(file string) {
		info, err := os.Stat(file)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("reading %s: %w", file, reason(err)))
		case info.Mode().IsRegular() && !slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(other, info) }):
			seen, files = append(seen, info), append(files, file)
		}
	}
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("reading %s: %w", file, reason(err)))
		case file != path && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir() || !slices.Contains(Extensions, strings.ToLower(filepath.Ext(file))):
		case entry.Type()&fs.ModeSymlink != 0:
			links = append(links, file)
		default:
			add(file)
		}
		return nil
	})
	for _, link := range links {
		add(link)
	}
	slices.Sort(files)
	if len(files) == 0 && err == nil && len(errs) == 0 {
		err = fmt.Errorf("reading %s: no file in it ends in %s", path, strings.Join(Extensions, ", "))
	}
	return files, errors.Join(append(errs, err)...)
}

// reason is an error of the file system without the operation and the path, which
// are said already.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func readFile(path string) ([]Document, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, reason(err))
	}
	defer func() { _ = file.Close() }()
	return read(path, file)
}

func read(source string, in io.Reader) ([]Document, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", source, reason(err))
	}
	if len(text) > maxFileBytes {
		return nil, &Problem{Source: source, Text: fmt.Sprintf("is too large: at most %d MiB are read: give its documents in several files", maxFileBytes>>20)}
	}
	return Parse(source, text)
}

// Parse parts a text into its documents. source is what it is called in messages.
func Parse(source string, text []byte) ([]Document, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	format, err := formatOf(source, text)
	if err != nil {
		return nil, err
	}
	var out []Document
	var errs []error
	var chunks []chunk
	switch format {
	case XML:
		chunks = splitXML(text)
	case JSON:
		chunks = splitJSON(text)
	case YAML:
		chunks = splitYAML(text)
	}
	if len(chunks) > maxDocuments {
		return nil, &Problem{Source: source, Text: fmt.Sprintf("has more than %d documents: give them in several files", maxDocuments)}
	}
	for _, c := range chunks {
		if format == XML {
			out = append(out, Document{Source: source, Line: c.line, Format: XML, Text: c.text})
			continue
		}
		objects, err := objectsOf(source, format, c)
		out, errs = append(out, objects...), append(errs, err)
	}
	if len(chunks) == 0 {
		errs = append(errs, &Problem{Source: source, Text: "is empty: give libvirt's XML, such as virsh dumpxml NAME prints, or an object in YAML or JSON"})
	}
	for i := range out {
		out[i].Alone = len(chunks) == 1 && len(out) == 1
	}
	return out, errors.Join(errs...)
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// formatOf tells the format by how the text begins: a file's name says little of
// what is in it.
func formatOf(source string, text []byte) (Format, error) {
	begins := bytes.TrimSpace(text)
	switch {
	case bytes.HasPrefix(begins, []byte("<")), xmldoc.UTF16(text) != "":
		return XML, nil
	case bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text):
		return "", &Problem{Source: source, Text: "is not text: give libvirt's XML, or an object in YAML or JSON, in UTF-8"}
	case bytes.HasPrefix(begins, []byte("{")):
		return JSON, nil
	}
	return YAML, nil
}
