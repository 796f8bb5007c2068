package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	if !json.Valid(raw) {
		var syntax json.RawMessage
		return node{}, fmt.Errorf("is not a JSON document: %w", json.Unmarshal(raw, &syntax))
	}
	s := scanner{raw: raw}
	return s.value(0)
}

// scanner goes through a JSON document whose syntax is known to be right, with
// its keys in order and its numbers as written: several times as fast as by the
// tokens of encoding/json.
type scanner struct {
	raw []byte
	at  int
}

// skip goes past white space, and commas and colons, whose place is right.
func (s *scanner) skip() byte {
	for {
		switch c := s.raw[s.at]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			s.at++
		default:
			return c
		}
	}
}

func (s *scanner) value(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errTooDeep
	}
	switch s.skip() {
	case '{', '[':
		return s.items(depth)
	case '"':
		text, err := s.text()
		return node{kind: kindString, text: text}, err
	case 't':
		s.at += len("true")
		return node{kind: kindBool, truth: true}, nil
	case 'f':
		s.at += len("false")
		return node{kind: kindBool}, nil
	case 'n':
		s.at += len("null")
		return node{kind: kindNull}, nil
	}
	start := s.at
	for s.at < len(s.raw) && strings.IndexByte(" \t\n\r,:]}", s.raw[s.at]) < 0 {
		s.at++
	}
	return node{kind: kindNumber, text: string(s.raw[start:s.at])}, nil
}

// items reads a list or an object from its bracket on.
func (s *scanner) items(depth int) (node, error) {
	n := node{kind: kindList}
	end := byte(']')
	if s.raw[s.at] == '{' {
		n.kind, end = kindObject, '}'
	}
	s.at++
	for s.skip() != end {
		if n.kind == kindObject {
			key, err := s.text()
			if err != nil {
				return node{}, err
			}
			n.keys = append(n.keys, key)
		}
		item, err := s.value(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	s.at++
	return n, nil
}

// text reads a string from its quote on.
func (s *scanner) text() (string, error) {
	start := s.at
	escaped := false
	for s.at++; s.raw[s.at] != '"'; s.at++ {
		if s.raw[s.at] == '\\' {
			escaped = true
			s.at++
		}
	}
	s.at++
	if !escaped {
		return string(s.raw[start+1 : s.at-1]), nil
	}
	var text string
	if err := json.Unmarshal(s.raw[start:s.at], &text); err != nil {
		return "", fmt.Errorf("reading JSON: %w", err)
	}
	return text, nil
}
