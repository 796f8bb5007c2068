package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// origin is where the bytes of an image come from.
type origin interface {
	// Open returns the bytes from offset on, if the origin has the same as another
	// time, when it said same; from the first one otherwise, or where it can do no
	// better. The content ends when ctx does.
	Open(ctx context.Context, offset int64, same string) (*content, error)
}

// content is what an origin has.
type content struct {
	Body io.ReadCloser
	// Offset is where Body begins, and Total the length of all, in bytes; -1 when it
	// is not known.
	Offset, Total int64
	// Same tells whether the content is the same another time; empty when that
	// cannot be told.
	Same string
}

// Origins are what a host allows images to come from.
type Origins struct {
	// Networks may be asked by http.
	Networks Networks
	// Dir is the folder of images that the host's administrator keeps; none when
	// empty.
	Dir string
}

// of is the origin of an image.
func (o Origins) of(image *v1alpha1.VirtualDiskImage) (origin, error) {
	switch s := &image.Spec.Source; {
	case s.HTTP != nil:
		return newWeb(s.HTTP, o.Networks)
	case s.File != nil && o.Dir == "":
		return nil, &forbiddenError{why: "this host has no folder of images: its administrator names one in imageDir"}
	case s.File != nil:
		return &folder{dir: o.Dir, name: s.File.Name}, nil
	}
	return nil, invalid("spec.source has none of http, file and upload")
}

// folder has a file of the host's folder of images.
type folder struct{ dir, name string }

// Open implements origin. A name that leads out of the folder is not followed, nor
// is anything read that is no file.
func (f *folder) Open(_ context.Context, offset int64, same string) (_ *content, err error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, fmt.Errorf("opening the host's folder of images: %w", plain(err))
	}
	defer func() { _ = root.Close() }()
	// A pipe would be waited for.
	file, err := root.OpenFile(f.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening file %s in the host's folder of images: %w", f.name, plain(err))
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking at file %s in the host's folder of images: %w", f.name, plain(err))
	case !info.Mode().IsRegular():
		return nil, invalid("%s in the host's folder of images is no file", f.name)
	}
	c := &content{Body: file, Total: info.Size(), Same: fmt.Sprint(info.ModTime().UnixNano(), ":", info.Size())}
	if offset > 0 && (same == "" || same == c.Same) && offset <= info.Size() {
		if _, err := file.Seek(offset, io.SeekStart); err != nil {
			return nil, err
		}
		c.Offset = offset
	}
	return c, nil
}

// plain is an error without the path of the host that is in it.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

const (
	// A content that breaks off is opened again after firstRetry, doubling up to
	// lastRetry, until maxBreaks in a row bring nothing.
	firstRetry = time.Second
	lastRetry  = 15 * time.Second
	maxBreaks  = 6
)

// steady reads a content to its end although it breaks off: it is opened again
// where it ended.
type steady struct {
	ctx    context.Context
	origin origin
	clock  clock.Clock
	// at is the next byte.
	at     int64
	total  int64
	same   string
	now    *content
	breaks int
}

// open begins at offset; it returns the offset at which the content begins, which
// is 0 where it cannot be had from there. Whether the bytes before are of the same
// content nobody says.
func (s *steady) open(offset int64) (int64, error) {
	c, err := s.origin.Open(s.ctx, offset, "")
	if err != nil {
		return 0, err
	}
	s.now, s.at, s.total, s.same = c, c.Offset, c.Total, c.Same
	return c.Offset, nil
}

// Read implements io.Reader.
func (s *steady) Read(p []byte) (int, error) {
	for {
		if err := s.ctx.Err(); err != nil {
			return 0, context.Cause(s.ctx)
		}
		if s.now == nil {
			if err := s.again(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := s.now.Body.Read(p)
		s.at += int64(n)
		if n > 0 {
			s.breaks = 0
		}
		switch {
		case s.total >= 0 && s.at > s.total:
			return 0, fmt.Errorf("there are more bytes than the %d that were announced", s.total)
		case errors.Is(err, io.EOF) && (s.total < 0 || s.at == s.total):
			return n, io.EOF
		case errors.Is(err, errBrokenOff):
			return n, err // there is nothing to open again
		case err != nil:
			s.close()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if n == 0 {
				if s.breaks++; s.breaks >= maxBreaks {
					return 0, fmt.Errorf("reading byte %d: %w", s.at, err)
				}
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// again opens the content where it broke off.
func (s *steady) again() error {
	for {
		wait := min(firstRetry<<s.breaks, lastRetry)
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-s.clock.After(wait):
		}
		c, err := s.origin.Open(s.ctx, s.at, s.same)
		if err == nil {
			return s.resume(c)
		}
		if !passes(err) {
			return err
		}
		if s.breaks++; s.breaks >= maxBreaks {
			return err
		}
	}
}

// resume goes on with c. A server that begins anew with the same bytes has those
// skipped that have been read.
func (s *steady) resume(c *content) error {
	switch {
	case c.Same != s.same, c.Total >= 0 && s.total >= 0 && c.Total != s.total:
		_ = c.Body.Close()
		return errChanged
	case s.same == "" && c.Offset != s.at:
		_ = c.Body.Close()
		return &brokenError{at: s.at, total: s.total}
	}
	if c.Offset < s.at {
		if _, err := io.CopyN(io.Discard, c.Body, s.at-c.Offset); err != nil {
			_ = c.Body.Close()
			s.breaks++
			if s.breaks >= maxBreaks {
				return err
			}
			return nil // now is nil: it is opened again
		}
	}
	s.now = c
	return nil
}

func (s *steady) close() {
	if s.now != nil {
		_ = s.now.Body.Close()
		s.now = nil
	}
}

// passes says whether what went wrong may be over when it is tried again soon.
func passes(err error) bool {
	var answer *answerError
	if errors.As(err, &answer) {
		return answer.status >= 500 || answer.status == 408 || answer.status == 429
	}
	var forbidden *forbiddenError
	var bad *invalidError
	return !errors.As(err, &forbidden) && !errors.As(err, &bad)
}
