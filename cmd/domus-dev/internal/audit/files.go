package audit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ReadFiles makes a report of the log at path and of the rotated ones beside
// it, whose names the time of rotation puts in order.
func ReadFiles(path string) (*Report, error) {
	extension := filepath.Ext(path)
	names, err := filepath.Glob(strings.TrimSuffix(path, extension) + "-*" + extension)
	if err != nil {
		return nil, err
	}
	var logs []io.Reader
	for _, name := range append(names, path) {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening the audit log: %w", err)
		}
		defer func() { _ = f.Close() }()
		logs = append(logs, f)
	}
	return Read(logs...)
}
