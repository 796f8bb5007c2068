package sshkey

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"domus.dev/domus/pkg/virtctl/failure"
)

// The API's bounds.
const (
	maxKeys = 32
	maxLine = 8192 // bytes
	maxFile = 1 << 20
)

// key is a line of authorized_keys, and how people tell it from others.
type key struct {
	line, print string
}

func lines(keys []key) []string {
	all := make([]string, 0, len(keys))
	for _, k := range keys {
		all = append(all, k.line)
	}
	return all
}

func prints(keys []key) []string {
	all := make([]string, 0, len(keys))
	for _, k := range keys {
		all = append(all, k.print)
	}
	return all
}

// load reads the keys of files, each once; - is in.
func load(paths []string, in io.Reader) ([]key, error) {
	var keys []key
	known := map[string]bool{}
	for _, path := range paths {
		data, err := read(path, in)
		if err != nil {
			return nil, err
		}
		found, err := parse(data)
		if err != nil {
			return nil, failure.Usage("%s: %w", path, err)
		}
		for _, k := range found {
			if !known[k.line] {
				known[k.line] = true
				keys = append(keys, k)
			}
		}
	}
	if len(keys) > maxKeys {
		return nil, failure.Usage("%d keys are too many for one operation, which takes %d: give fewer", len(keys), maxKeys)
	}
	return keys, nil
}

func read(path string, in io.Reader) ([]byte, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading public keys: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading public keys of %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, failure.Usage("%s is larger than %d bytes: it is no file of public keys", path, maxFile)
	}
	return data, nil
}

// parse returns the keys of a file, of which it repeats nothing: it may be a
// private one.
func parse(data []byte) ([]key, error) {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return nil, fmt.Errorf("that is a private key, which nobody else may have: give the public one, in the file that ends in .pub")
	}
	var keys []key
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, maxFile+1)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(line) > maxLine {
			return nil, fmt.Errorf("line %d is no public key as authorized_keys has them, of at most %d bytes", number, maxLine)
		}
		print := ssh.FingerprintSHA256(public)
		if comment != "" {
			print += " " + comment
		}
		keys = append(keys, key{line: line, print: print})
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key in it")
	}
	return keys, nil
}
