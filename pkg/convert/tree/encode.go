package tree

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// Encode writes a libvirtxml struct (or a pointer to one) as JSON in Domus's
// style, keys in the order of libvirt's XML, what is unset left out. Equal
// structs give equal bytes. It fails on what the XML could not hold either: two
// variants of one choice, or text that is not UTF-8.
func Encode(doc any) ([]byte, error) {
	return encode(doc, nil)
}

func encode(doc any, others Others) ([]byte, error) {
	v := reflect.ValueOf(doc)
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, fmt.Errorf("encoding %T: it is nil", doc)
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("encoding %T: it is not a libvirtxml document", doc)
	}
	e := encoder{others: others}
	if err := e.value(v, ""); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", doc, err)
	}
	if e.written != len(others) {
		return nil, fmt.Errorf("encoding %T: %d corrections are of no object in it", doc, len(others)-e.written)
	}
	return e.out.Bytes(), nil
}

type encoder struct {
	out bytes.Buffer
	// others are written with the objects that they correct; written counts
	// those objects.
	others  Others
	written int
}

// value writes a value; path is its own, for others.
func (e *encoder) value(v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.Pointer:
		return e.value(v.Elem(), path)
	case reflect.Slice:
		e.out.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				e.out.WriteByte(',')
			}
			if err := e.value(v.Index(i), e.item(path, i)); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		e.out.WriteByte(']')
		return nil
	case reflect.Struct:
		return e.object(unmirror(v), path)
	case reflect.String:
		return e.text(v.String())
	case reflect.Float32, reflect.Float64:
		e.out.WriteString(strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()))
		return nil
	}
	if v.CanInt() {
		e.out.WriteString(strconv.FormatInt(v.Int(), 10))
		return nil
	}
	e.out.WriteString(strconv.FormatUint(v.Uint(), 10))
	return nil
}

func (e *encoder) object(v reflect.Value, path string) error {
	o := objectOf(v.Type())
	if o.flag() {
		e.out.WriteString("true")
		return nil
	}
	variant := ""
	open := byte('{')
	for _, m := range o.members {
		f := v.FieldByIndex(m.index)
		if !present(f) && (!m.always || !isNumber(f)) {
			continue
		}
		if m.variant {
			if variant != "" {
				return fmt.Errorf("%s and %s are both set: only one may be", variant, m.key)
			}
			variant = m.key
		}
		e.out.WriteByte(open)
		open = ','
		e.out.WriteString(strconv.Quote(m.key) + ":")
		if err := e.value(f, e.join(path, m.key)); err != nil {
			return fmt.Errorf("%s: %w", m.key, err)
		}
	}
	if other := e.others[path]; len(other) > 0 {
		raw, err := marshal(other)
		if err != nil {
			return err
		}
		e.written++
		e.out.WriteByte(open)
		open = ','
		e.out.WriteString(strconv.Quote(OtherKey) + ":")
		e.out.Write(raw)
	}
	if open == '{' {
		e.out.WriteByte(open)
	}
	e.out.WriteByte('}')
	return nil
}

func (e *encoder) text(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not UTF-8 text", s)
	}
	if plain(s) {
		e.out.WriteByte('"')
		e.out.WriteString(s)
		e.out.WriteByte('"')
		return nil
	}
	raw, err := marshal(s)
	if err != nil {
		return err
	}
	e.out.Write(raw)
	return nil
}

// plain says whether JSON holds a string as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// join and item are the paths of what an object and a list hold, which nobody
// asks for where there are no others.
func (e *encoder) join(path, key string) string {
	if len(e.others) == 0 {
		return ""
	}
	return join(path, key)
}

func (e *encoder) item(path string, i int) string {
	if len(e.others) == 0 {
		return ""
	}
	return item(path, i)
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	j := json.NewEncoder(&out)
	j.SetEscapeHTML(false)
	if err := j.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// present says whether a field holds anything: a pointer to something, even to
// nothing much; a list of at least one; a scalar or a struct that is not zero.
func present(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && (v.Type().Elem().Kind() != reflect.Slice || v.Elem().Len() > 0)
	case reflect.Slice:
		return v.Len() > 0
	case reflect.Struct:
		for _, m := range objectOf(v.Type()).members {
			if present(v.FieldByIndex(m.index)) {
				return true
			}
		}
		return false
	default:
		return !v.IsZero()
	}
}

func isNumber(v reflect.Value) bool {
	return v.CanInt() || v.CanUint() || v.CanFloat()
}
