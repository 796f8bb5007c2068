package transfer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A volume's content travels in frames: one byte for the kind, eight for a length,
// the most significant first, and so many bytes of data. A hole has none. The last
// frame ends the content and carries its digest; a stream that ends without one
// was cut off.
const (
	frameData byte = 'D'
	frameHole byte = 'H'
	frameEnd  byte = 'E'

	frameHeader = 9
	// maxData is the most data that one frame has.
	maxData = 1 << 20
	// writeBuffer is how much is gathered before it is sent.
	writeBuffer = 64 << 10
	// maxHole is the longest hole: what no volume is as long as.
	maxHole = int64(1) << 60
)

// FrameWriter writes content as frames. It is a libvirt.ContentSink.
type FrameWriter struct{ to *bufio.Writer }

// NewFrameWriter returns a FrameWriter; Close ends the content.
func NewFrameWriter(to io.Writer) *FrameWriter {
	return &FrameWriter{to: bufio.NewWriterSize(to, writeBuffer)}
}

func (w *FrameWriter) header(kind byte, length int64) error {
	var h [frameHeader]byte
	h[0] = kind
	binary.BigEndian.PutUint64(h[1:], uint64(length))
	_, err := w.to.Write(h[:])
	return err
}

// Write implements io.Writer.
func (w *FrameWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), maxData)
		if err := w.header(frameData, int64(n)); err != nil {
			return written, err
		}
		if _, err := w.to.Write(p[:n]); err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

// Hole implements libvirt.ContentSink.
func (w *FrameWriter) Hole(n int64) error { return w.header(frameHole, n) }

// Close ends the content with its digest, and flushes.
func (w *FrameWriter) Close(digest []byte) error {
	if err := w.header(frameEnd, int64(len(digest))); err != nil {
		return err
	}
	if _, err := w.to.Write(digest); err != nil {
		return err
	}
	return w.to.Flush()
}

// ErrFrames says that what came are no frames.
var ErrFrames = errors.New("the content is not in frames")

// FrameReader reads frames, by pieces of content that are as long as asked for.
type FrameReader struct {
	from   *bufio.Reader
	buffer []byte
	// data and hole are what is left of the present frame.
	data   int64
	hole   int64
	digest []byte
	ended  bool
}

// NewFrameReader returns a FrameReader.
func NewFrameReader(from io.Reader) *FrameReader {
	return &FrameReader{from: bufio.NewReaderSize(from, 256<<10), buffer: make([]byte, 256<<10)}
}

// Digest is what the end of the content said; nil before Next has met it.
func (r *FrameReader) Digest() []byte { return r.digest }

// Next returns the next piece of content, data or a hole, of at most limit bytes.
// The data is valid until the next call. At the end of the content it returns
// io.EOF, and io.ErrUnexpectedEOF when that has not been met.
func (r *FrameReader) Next(limit int64) (data []byte, hole int64, err error) {
	for r.data == 0 && r.hole == 0 {
		if r.ended {
			return nil, 0, io.EOF
		}
		if err := r.frame(); err != nil {
			return nil, 0, err
		}
	}
	if r.hole > 0 {
		hole = min(r.hole, limit)
		r.hole -= hole
		return nil, hole, nil
	}
	n := min(r.data, limit, int64(len(r.buffer)))
	if _, err := io.ReadFull(r.from, r.buffer[:n]); err != nil {
		return nil, 0, cutOff(err)
	}
	r.data -= n
	return r.buffer[:n], 0, nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frame reads the header of a frame, and the digest of the last one.
func (r *FrameReader) frame() error {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r.from, h[:]); err != nil {
		return cutOff(err)
	}
	length := int64(binary.BigEndian.Uint64(h[1:]))
	switch kind := h[0]; {
	case kind == frameData && length > 0 && length <= maxData:
		r.data = length
	case kind == frameHole && length > 0 && length <= maxHole:
		r.hole = length
	case kind == frameEnd && length == digestSize:
		r.digest = make([]byte, length)
		if _, err := io.ReadFull(r.from, r.digest); err != nil {
			r.digest = nil
			return cutOff(err)
		}
		r.ended = true
	default:
		return fmt.Errorf("%w: a frame of kind %q and length %d", ErrFrames, kind, length)
	}
	return nil
}
