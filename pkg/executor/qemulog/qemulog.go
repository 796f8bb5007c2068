// Package qemulog reads what a guest's QEMU said last from the log that libvirt keeps
// of it: where QEMU dies on its own that is the only place that tells why.
package qemulog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// DefaultDir is where the libvirt of the machine itself has the logs.
const DefaultDir = "/var/log/libvirt/qemu"

const (
	// maxRead is how much of a log's end is read, in bytes: its command line takes
	// some KiB.
	maxRead = 64 << 10
	// maxLines and maxBytes bound what is told of it.
	maxLines = 4
	maxBytes = 600
)

// Read returns the last words of the domain's last QEMU, as LastWords does, if that was
// started at or after since; "" where there is no log.
func Read(dir, domain string, since time.Time) (string, error) {
	if domain == "" || domain != filepath.Base(domain) || strings.HasPrefix(domain, ".") {
		return "", fmt.Errorf("reading the QEMU log of domain %q: its name is no file name", domain)
	}
	file, err := os.Open(filepath.Join(dir, domain+".log"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the QEMU log of domain %s: %w", domain, err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("reading the QEMU log of domain %s: %s is no file", domain, file.Name()))
	}
	text, err := io.ReadAll(io.NewSectionReader(file, max(info.Size()-maxRead, 0), maxRead))
	if err != nil {
		return "", fmt.Errorf("reading the QEMU log of domain %s: %w", domain, err)
	}
	if info.Size() > maxRead {
		_, text, _ = bytes.Cut(text, []byte("\n")) // a part of a line may hide what it is
	}
	return LastWords(text, since), nil
}

var (
	// A run begins with libvirt's line, in UTC:
	//	2026-11-28 11:21:55.801+0000: starting up libvirt version: 9.0.0, ...
	begins = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\+0000: starting up `)
	// libvirts are the other lines that libvirt itself writes, or has QEMU write.
	libvirts = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: |^char device redirected to `)
	// stamp is before each line of QEMU's own (-msg timestamp=on).
	stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z `)
	// confidential are values of options whose name says that they are.
	confidential = regexp.MustCompile(`(?i)\b(password|passwd|passphrase|secret|data)("\s*:\s*"|=)[^",;\s]*[^",;:\s]`)
)

// LastWords is what QEMU said itself, on one line, at the end of text, the end of a
// log: of the last run alone, and "" where that began before since. The command line,
// libvirt's own lines and what may be confidential are left out, and so is the
// beginning of what is too long.
func LastWords(text []byte, since time.Time) string {
	lines := strings.Split(string(bytes.ToValidUTF8(text, nil)), "\n")
	for i, line := range slices.Backward(lines) {
		found := begins.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		at, err := time.Parse("2006-01-02 15:04:05.000", found[1])
		if err != nil || at.Before(since.Truncate(time.Second)) {
			return ""
		}
		lines = lines[i+1:]
		break
	}
	// The command line is one over many lines, all but the last of which go on.
	for i, line := range slices.Backward(lines) {
		if strings.HasSuffix(line, `\`) {
			lines = lines[min(i+2, len(lines)):]
			break
		}
	}
	var said []string
	for _, line := range lines {
		if libvirts.MatchString(line) {
			continue
		}
		line = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return -1
		}, stamp.ReplaceAllString(line, ""))
		if line = strings.TrimSpace(confidential.ReplaceAllString(line, "$1$2***")); line != "" {
			said = append(said, line)
		}
	}
	words := strings.Join(said[max(len(said)-maxLines, 0):], "; ")
	if cut := len(words) - maxBytes; cut > 0 {
		words = "..." + strings.ToValidUTF8(words[cut+len("..."):], "")
	}
	return words
}
