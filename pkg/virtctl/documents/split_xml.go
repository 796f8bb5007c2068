package documents

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
)

// chunk is a document as it stands in a file.
type chunk struct {
	// line is where its first character other than space stands, from 1.
	line int
	text []byte
}

const (
	// maxScan bounds in bytes how far the end of an XML document is looked for: far
	// above what is read as one.
	maxScan = 1 << 20
	// maxDocuments bounds how many documents a file may have.
	maxDocuments = 10_000
)

// beginning is where a document begins for certain, though those before it be
// broken: libvirt indents all that is not a root.
var beginning = regexp.MustCompile(`(?m)^<(\?xml|domain|network|volume|pool|domainsnapshot)[\s>?/]`)

// splitXML parts documents that stand one after another, as virsh dumpxml writes
// them in a loop. It judges none: one that is broken ends where the next begins.
func splitXML(text []byte) []chunk {
	var out []chunk
	for at := 0; at < len(text) && len(out) <= maxDocuments; {
		start := at + leadingSpace(text[at:])
		if start == len(text) {
			break
		}
		root, end, whole := scanXML(text[start:])
		switch {
		case whole && root < 0:
			// Nothing but comments is left; other text is for its reader to refuse.
			if onlyComments(text[start:]) {
				return out
			}
			end = len(text) - start
		case !whole:
			end = len(text) - start
			if next := beginning.FindIndex(text[start+max(root, 0)+1:]); next != nil {
				end = max(root, 0) + 1 + next[0]
			}
		}
		out = append(out, chunk{line: 1 + bytes.Count(text[:start], []byte("\n")), text: bytes.TrimRight(text[start:start+end], " \t\r\n")})
		at = start + end
	}
	return out
}

// scanXML finds where the first root element begins and ends. root is -1 where
// there is none; whole is false where the end is not found.
func scanXML(text []byte) (root, end int, whole bool) {
	d := xml.NewDecoder(bytes.NewReader(text[:min(len(text), maxScan)]))
	// A declared encoding is for the document's reader to judge.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	root = -1
	for depth := 0; ; {
		before := int(d.InputOffset())
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) && depth == 0 && len(text) <= maxScan {
			return root, len(text), true
		}
		if err != nil {
			return root, 0, false
		}
		switch token.(type) {
		case xml.StartElement:
			if depth == 0 {
				root = before
			}
			depth++
		case xml.EndElement:
			if depth--; depth <= 0 {
				return root, int(d.InputOffset()), root >= 0
			}
		}
	}
}

func onlyComments(text []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.RawToken()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		switch t := token.(type) {
		case xml.Comment:
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return false
			}
		default:
			return false
		}
	}
}

func leadingSpace(text []byte) int { return len(text) - len(bytes.TrimLeft(text, " \t\r\n")) }
