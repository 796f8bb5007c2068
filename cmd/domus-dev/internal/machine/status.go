package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// forgetBegunStarts removes what libvirtd has noted of guests that it was about to
// start when it was killed. One that has no process yet is passed over when libvirtd
// looks for its guests again (qemuProcessReconnectHelper in src/qemu/qemu_process.c
// of libvirt 9.0), and can be neither started nor switched off from then on. Nothing
// is lost: QEMU does not begin before its process is noted. libvirtd must not run.
// dir is where it notes what runs.
func forgetBegunStarts(dir string) ([]string, error) {
	notes, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil {
		return nil, err
	}
	var forgotten []string
	var wrong []error
	for _, note := range notes {
		content, err := os.ReadFile(note)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if !withoutProcess(content) {
			continue
		}
		if err := os.Remove(note); err != nil {
			wrong = append(wrong, err)
			continue
		}
		forgotten = append(forgotten, filepath.Base(note))
	}
	if err := errors.Join(wrong...); err != nil {
		return forgotten, fmt.Errorf("looking for guests that libvirtd was about to start: %w", err)
	}
	return forgotten, nil
}

// withoutProcess says whether a note is of a guest that has no process.
func withoutProcess(note []byte) bool {
	_, rest, found := bytes.Cut(note, []byte("<domstatus "))
	if !found {
		return false
	}
	head, _, found := bytes.Cut(rest, []byte(">"))
	return found && bytes.Contains(head, []byte("pid='0'"))
}
