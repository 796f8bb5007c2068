package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

const (
	digestSize = sha256.Size
	// blockSize is what a Digest takes together.
	blockSize = 1 << 20
)

// Digest tells contents apart, whatever of their zeros are holes, in a time that
// holes do not add to: it is the SHA-256 of the numbers and hashes of all blocks
// that are not zeros, and of the length. It is a libvirt.ContentSink.
type Digest struct {
	sum    hash.Hash
	block  []byte
	length int64
}

// NewDigest returns the Digest of nothing.
func NewDigest() *Digest { return &Digest{sum: sha256.New(), block: make([]byte, 0, blockSize)} }

// Write implements io.Writer.
func (d *Digest) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), blockSize-len(d.block))
		d.block = append(d.block, p[:n]...)
		d.length += int64(n)
		p = p[n:]
		if len(d.block) == blockSize {
			d.flush()
		}
	}
	return written, nil
}

// Hole implements libvirt.ContentSink.
func (d *Digest) Hole(n int64) error {
	// To the end of a block that has begun, over whole ones, into the next.
	if fill := min(n, int64(blockSize-len(d.block))); len(d.block) > 0 {
		_, _ = d.Write(make([]byte, fill))
		n -= fill
	}
	d.length += n / blockSize * blockSize
	_, err := d.Write(make([]byte, n%blockSize))
	return err
}

// flush takes a block in; length is at its end.
func (d *Digest) flush() {
	if !Zero(d.block) {
		d.sum.Write(binary.BigEndian.AppendUint64(nil, uint64((d.length-1)/blockSize)))
		h := sha256.Sum256(d.block)
		d.sum.Write(h[:])
	}
	d.block = d.block[:0]
}

// Zero says whether all is zeros.
func Zero(p []byte) bool {
	for len(p) >= 8 {
		if binary.NativeEndian.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// Sum ends the content and returns its digest.
func (d *Digest) Sum() []byte {
	if len(d.block) > 0 {
		// The last block counts as if zeros came after it; the length tells.
		d.block = append(d.block, make([]byte, blockSize-len(d.block))...)
		d.flush()
	}
	d.sum.Write(binary.BigEndian.AppendUint64(nil, uint64(d.length)))
	return d.sum.Sum(nil)
}
