package objects

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/convert/document"
)

// MemoNamespace is the XML namespace of the element by which a document says of
// its object what it has no words for. libvirt keeps one element of a namespace
// in a domain's metadata, and this is not that of a domain's owner.
const MemoNamespace = "https://domus.dev/v1alpha1/object"

const memoElement = "object"

// memoComment begins a comment that says the same, in documents in which libvirt
// keeps no metadata.
const memoComment = " " + MemoNamespace + " "

// memoDelta says how an object differs from what its document tells of it.
func memoDelta(told, is client.Object) (delta, error) {
	from, err := manifest(told)
	if err != nil {
		return nil, err
	}
	to, err := manifest(is)
	if err != nil {
		return nil, err
	}
	return compare(from, to, func(string) bool { return false })
}

// withMemo writes a document again, with a memo in it.
func (m *mapping[T, O]) withMemo(text []byte, is map[string]any, memo delta) ([]byte, error) {
	raw, err := marshal(memo)
	if err != nil {
		return nil, err
	}
	if !m.metadata {
		// A comment must hold no two hyphens in a row; JSON can say them otherwise.
		body := strings.ReplaceAll(string(raw), "--", `-\u002d`)
		return fmt.Appendf(bytes.TrimSpace(text), "\n<!--%s%s -->\n", memoComment, body), nil
	}
	var element strings.Builder
	element.WriteString("<domus:" + memoElement + " xmlns:domus='" + MemoNamespace + "'>")
	if err := xml.EscapeText(&element, raw); err != nil {
		return nil, err
	}
	element.WriteString("</domus:" + memoElement + ">")
	metadata, _ := is["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		is["metadata"] = metadata
	}
	metadata["xml"] = metadataOf(is) + element.String()
	return m.format(is)
}

// recall gives an object what its document said of it apart from libvirt's own
// words, where these are still what they were.
func recall[O client.Object](told O, memo delta) (O, error) {
	if len(memo) == 0 {
		return told, nil
	}
	whole, err := manifest(told)
	if err != nil {
		return told, err
	}
	fail := func(err error) (O, error) {
		return told, fmt.Errorf("holds what is no object of Domus: %w: remove the part in the namespace %s, or restore it", err, MemoNamespace)
	}
	if _, err := memo.apply(whole); err != nil {
		return fail(err)
	}
	raw, err := marshal(whole)
	if err != nil {
		return told, err
	}
	out := reflect.New(reflect.TypeOf(told).Elem()).Interface().(O)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return fail(err)
	}
	if out.GetObjectKind().GroupVersionKind() != told.GetObjectKind().GroupVersionKind() {
		return fail(fmt.Errorf("it is of kind %s", out.GetObjectKind().GroupVersionKind().Kind))
	}
	return out, nil
}

// cutMemo takes the memo out of a document; nil where it has none.
func (m *mapping[T, O]) cutMemo(doc *document.Document, is map[string]any) (delta, error) {
	if !m.metadata {
		return memoInComment(doc.XML.Source)
	}
	text := metadataOf(is)
	if !strings.Contains(text, MemoNamespace) {
		return nil, nil
	}
	rest, memo, err := cutElement(text)
	if err != nil || memo == "" {
		return nil, err
	}
	metadata := is["metadata"].(map[string]any)
	if rest = strings.TrimSpace(rest); rest != "" {
		metadata["xml"] = rest
	} else if delete(metadata, "xml"); len(metadata) == 0 {
		delete(is, "metadata")
	}
	return readMemo(memo)
}

func readMemo(text string) (delta, error) {
	var d delta
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("holds differences that cannot be read: %w: remove the part in the namespace %s, or restore it", err, MemoNamespace)
	}
	return d, nil
}

// cutElement takes the memo's element out of the inside of <metadata>, and
// returns its text.
func cutElement(inside string) (rest, memo string, err error) {
	d := xml.NewDecoder(strings.NewReader(inside))
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return inside, "", nil
		}
		if err != nil {
			return inside, "", err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name != (xml.Name{Space: MemoNamespace, Local: memoElement}) {
			if err := d.Skip(); err != nil {
				return inside, "", err
			}
			continue
		}
		var text struct {
			JSON string `xml:",chardata"`
		}
		if err := d.DecodeElement(&text, &start); err != nil {
			return inside, "", err
		}
		return inside[:at] + inside[d.InputOffset():], text.JSON, nil
	}
}

// memoInComment finds the memo in a comment outside of the root element.
func memoInComment(source []byte) (delta, error) {
	if !bytes.Contains(source, []byte(MemoNamespace)) {
		return nil, nil
	}
	d := xml.NewDecoder(bytes.NewReader(source))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if err := d.Skip(); err != nil {
				return nil, err
			}
		case xml.Comment:
			if text, ok := strings.CutPrefix(string(t), memoComment); ok {
				return readMemo(text)
			}
		}
	}
}
