package cloudinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// sector is ISO 9660's logical block, in bytes.
const sector = 2048

// lastName is a file which nothing reads, and which is the last by the names that
// ISO 9660 itself has. Where the last file has whole sectors, or nothing, go-diskfs
// v1.9.4 writes a sector of zeros behind it, over the directory of Joliet.
const lastName, lastText = "written-by", "Domus\n"

// WriteMedium writes the seed as an ISO 9660 file system, with Rock Ridge for Unix
// and Joliet for Windows, to an empty file. The library takes what it writes from a
// folder: staging, which must be empty and nobody else's, and is emptied or gone
// afterwards unless there is an error. It writes the time of day into the medium:
// whether two seeds are the same is for Digest to say.
func (s Seed) WriteMedium(out *os.File, staging string) error {
	if err := s.stage(staging); err != nil {
		return fmt.Errorf("staging the medium: %w", err)
	}
	medium := &mindful{File: out}
	// An empty name of a folder would be the system's temporary one.
	fs, err := iso9660.Create(file.New(medium, false), 0, 0, sector, staging)
	if err != nil {
		return fmt.Errorf("writing the medium: %w", err)
	}
	err = fs.Finalize(iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: Label})
	if err = errors.Join(err, medium.err); err != nil {
		return fmt.Errorf("writing the medium: %w", err)
	}
	// The library ends with the last byte that it has, and drives have whole sectors.
	info, err := out.Stat()
	if err != nil {
		return err
	}
	return out.Truncate((info.Size() + sector - 1) / sector * sector)
}

// stage writes the files into the folder, once it is seen to be a private one.
func (s Seed) stage(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir() || info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has mode %s, and must be a folder that nobody else can enter", dir, info.Mode())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	}
	if err := os.WriteFile(filepath.Join(dir, lastName), []byte(lastText), 0o400); err != nil {
		return err
	}
	for name, data := range s {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o400); err != nil {
			return err
		}
	}
	return nil
}

// mindful remembers the first write that failed: go-diskfs does not look at all of
// them.
type mindful struct {
	*os.File
	err error
}

func (m *mindful) WriteAt(p []byte, offset int64) (int, error) {
	n, err := m.File.WriteAt(p, offset)
	if m.err == nil {
		m.err = err
	}
	return n, err
}
