package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// delta is how a JSON document differs from one that was derived by a rule: what
// the rule could not know. It is applied to what the rule derives later, and
// each difference only where that is still what it was.
type delta []difference

// difference is one place.
type difference struct {
	// At is a JSON pointer (RFC 6901): /memory, /metadata/labels/app.
	At string `json:"at"`
	// From is what was derived, To what stands there instead; nothing where
	// there is nothing.
	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`
}

// compare lists how is differs from derived. Objects are compared key by key,
// unless whole says of their pointer that they mean something only together;
// lists always are whole, for a difference must not slip to another item.
func compare(derived, is map[string]any, whole func(pointer string) bool) (delta, error) {
	var out delta
	if err := out.object("", derived, is, whole); err != nil {
		return nil, err
	}
	return out, nil
}

func (d *delta) object(at string, derived, is map[string]any, whole func(string) bool) error {
	keys := slices.Collect(maps.Keys(derived))
	for key := range is {
		if _, both := derived[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		here := at + "/" + escape.Replace(key)
		from, derives := derived[key]
		to, stands := is[key]
		if derives && stands && reflect.DeepEqual(from, to) {
			continue
		}
		fromObject, both := from.(map[string]any)
		toObject, also := to.(map[string]any)
		if both && also && !whole(here) {
			if err := d.object(here, fromObject, toObject, whole); err != nil {
				return err
			}
			continue
		}
		next := difference{At: here}
		for _, side := range []struct {
			there bool
			value any
			into  *json.RawMessage
		}{{derives, from, &next.From}, {stands, to, &next.To}} {
			if !side.there {
				continue
			}
			raw, err := marshal(side.value)
			if err != nil {
				return fmt.Errorf("%s: %w", here, err)
			}
			*side.into = raw
		}
		*d = append(*d, next)
	}
	return nil
}

// apply changes a derived document where it is still what it was, and returns
// the differences that held.
func (d delta) apply(derived map[string]any) (delta, error) {
	var held delta
	for _, next := range d {
		ok, err := next.apply(derived)
		if err != nil {
			return nil, err
		}
		if ok {
			held = append(held, next)
		}
	}
	return held, nil
}

func (n difference) apply(document map[string]any) (bool, error) {
	from, err := optional(n.From)
	if err != nil {
		return false, fmt.Errorf("%s: from: %w", n.At, err)
	}
	to, err := optional(n.To)
	if err != nil {
		return false, fmt.Errorf("%s: to: %w", n.At, err)
	}
	if !strings.HasPrefix(n.At, "/") {
		return false, fmt.Errorf("at: %q is no JSON pointer: it must begin with /", n.At)
	}
	steps := strings.Split(n.At[1:], "/")
	last := unescape.Replace(steps[len(steps)-1])
	parent := document
	for _, step := range steps[:len(steps)-1] {
		inner, ok := parent[unescape.Replace(step)].(map[string]any)
		if !ok {
			return false, nil
		}
		parent = inner
	}
	now, there := parent[last]
	if there != (n.From != nil) || there && !reflect.DeepEqual(now, from) {
		return false, nil
	}
	if n.To == nil {
		delete(parent, last)
	} else {
		parent[last] = to
	}
	return true, nil
}

var (
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
)

func optional(raw json.RawMessage) (any, error) {
	if raw == nil {
		return nil, nil
	}
	return unmarshal(raw)
}

// unmarshal reads JSON with its numbers as they are written.
func unmarshal(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

// unmarshalObject reads a JSON object.
func unmarshalObject(raw []byte) (map[string]any, error) {
	v, err := unmarshal(raw)
	if err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("is not a JSON object")
	}
	return o, nil
}

// marshal writes JSON in which < and > stay what they are.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
