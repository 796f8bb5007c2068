package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxDepth bounds nesting. A domain nests 10 deep; a chain of backing stores
// written out goes deeper by one per image.
const maxDepth = 64

type kind int

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindList
	kindObject
)

// node is a JSON value with its keys in order and its numbers as written.
type node struct {
	kind  kind
	text  string // of a number or a string
	truth bool
	keys  []string // of an object; as many as items
	items []node
}

// value is what an error shows of a node: scalars only.
func (n *node) value() any {
	switch n.kind {
	case kindBool:
		return n.truth
	case kindNumber:
		return json.Number(n.text)
	case kindString:
		return n.text
	case kindNull:
		return nil
	default:
		return field.OmitValueType{}
	}
}

var errTooDeep = fmt.Errorf("is nested more than %d levels deep", maxDepth)

// scan reads one JSON document.
func scan(raw []byte) (node, error) {
	if !utf8.Valid(raw) {
		return node{}, errors.New("is not UTF-8 text")
	}
	var syntax json.RawMessage
	if err := json.Unmarshal(raw, &syntax); err != nil {
		return node{}, fmt.Errorf("is not a JSON document: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return scanValue(d, 0)
}

func scanValue(d *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errTooDeep
	}
	token, err := d.Token()
	if err != nil {
		return node{}, fmt.Errorf("reading JSON: %w", err)
	}
	switch t := token.(type) {
	case bool:
		return node{kind: kindBool, truth: t}, nil
	case json.Number:
		return node{kind: kindNumber, text: t.String()}, nil
	case string:
		return node{kind: kindString, text: t}, nil
	case json.Delim:
		return scanItems(d, t, depth)
	default:
		return node{kind: kindNull}, nil
	}
}

func scanItems(d *json.Decoder, open json.Delim, depth int) (node, error) {
	n := node{kind: kindList}
	if open == '{' {
		n.kind = kindObject
	}
	for d.More() {
		if n.kind == kindObject {
			token, err := d.Token()
			if err != nil {
				return node{}, fmt.Errorf("reading JSON: %w", err)
			}
			key, _ := token.(string)
			n.keys = append(n.keys, key)
		}
		item, err := scanValue(d, depth+1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	if _, err := d.Token(); err != nil {
		return node{}, fmt.Errorf("reading JSON: %w", err)
	}
	return n, nil
}
