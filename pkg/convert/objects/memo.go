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
)

// MemoNamespace is the XML namespace of the element by which a document says of
// its object what it has no words for. libvirt keeps one element of a namespace
// in a domain's metadata, and this is not that of a domain's owner.
const MemoNamespace = "https://domus.dev/v1alpha1/object"

const memoElement = "object"

// memoOf is the element that says how an object differs from what its document
// tells of it; empty where it does not.
func memoOf(told, is client.Object) (string, error) {
	d, err := memoDelta(told, is)
	if err != nil || len(d) == 0 {
		return "", err
	}
	raw, err := marshal(d)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(`<domus:` + memoElement + ` xmlns:domus="` + MemoNamespace + `">`)
	if err := xml.EscapeText(&out, raw); err != nil {
		return "", err
	}
	out.WriteString(`</domus:` + memoElement + `>`)
	return out.String(), nil
}

// memoDelta is that as differences.
func memoDelta(told, is client.Object) (delta, error) {
	from, err := document(told)
	if err != nil {
		return nil, err
	}
	to, err := document(is)
	if err != nil {
		return nil, err
	}
	return compare(from, to, func(string) bool { return false })
}

// recall gives an object what its document said of it apart from libvirt's own
// words, where these are still what they were.
func recall[T client.Object](told T, memo delta) (T, error) {
	if memo == nil {
		return told, nil
	}
	whole, err := document(told)
	if err != nil {
		return told, err
	}
	if _, err := memo.apply(whole); err != nil {
		return told, fmt.Errorf("reading <%s>: %w: remove the element, or restore it", memoElement, err)
	}
	raw, err := marshal(whole)
	if err != nil {
		return told, err
	}
	out := reflect.New(reflect.TypeOf(told).Elem()).Interface().(T)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return told, fmt.Errorf("reading <%s>: %w: remove the element, or restore it", memoElement, err)
	}
	return out, nil
}

// cutMemo takes the memo out of the inside of a <metadata> element. The delta is
// nil when there is none.
func cutMemo(inside string) (string, delta, error) {
	var found delta
	d := xml.NewDecoder(strings.NewReader(inside))
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return inside, found, nil
		}
		if err != nil {
			return inside, nil, err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name != (xml.Name{Space: MemoNamespace, Local: memoElement}) {
			if err := d.Skip(); err != nil {
				return inside, nil, err
			}
			continue
		}
		var text struct {
			JSON string `xml:",chardata"`
		}
		if err := d.DecodeElement(&text, &start); err != nil {
			return inside, nil, err
		}
		if err := json.Unmarshal([]byte(text.JSON), &found); err != nil {
			return inside, nil, fmt.Errorf("reading <%s>: %w: remove the element, or restore it", memoElement, err)
		}
		rest := inside[:at] + inside[d.InputOffset():]
		if strings.TrimSpace(rest) == "" {
			rest = ""
		}
		return rest, found, nil
	}
}

// wellFormed says what is wrong with the inside of an XML element.
func wellFormed(inside string) error {
	d := xml.NewDecoder(strings.NewReader(inside))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// rootKind is the name of a document's root element.
func rootKind(name string, text []byte) (string, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("%s: reading XML: %w", name, err)
		}
		if start, ok := token.(xml.StartElement); ok {
			return start.Name.Local, nil
		}
	}
}

// withoutKubectl drops what kubectl notes of what it applied: it repeats the
// object as it once was.
func withoutKubectl(annotations map[string]string) map[string]string {
	const applied = "kubectl.kubernetes.io/last-applied-configuration"
	out := make(map[string]string, len(annotations))
	for key, value := range annotations {
		if key != applied {
			out[key] = value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
