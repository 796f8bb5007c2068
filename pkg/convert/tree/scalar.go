package tree

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// whole is a JSON integer; 1.0 and 1e3 are not.
var whole = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// setScalar puts a JSON scalar into a string or a number.
func setScalar(n *node, v reflect.Value, at *field.Path) *field.Error {
	switch v.Kind() {
	case reflect.String:
		return setString(n, v, at)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.text, v.Type().Bits())
		if n.kind != kindNumber || err != nil {
			return field.TypeInvalid(at, n.value(), "must be a number")
		}
		v.SetFloat(f)
		return nil
	}
	if n.kind == kindString && whole.MatchString(n.text) {
		return field.TypeInvalid(at, n.value(), "must be a whole number: remove the quotes")
	}
	if n.kind != kindNumber || !whole.MatchString(n.text) {
		return field.TypeInvalid(at, n.value(), "must be a whole number")
	}
	bits := v.Type().Bits()
	if v.CanInt() {
		i, err := strconv.ParseInt(n.text, 10, bits)
		if err != nil {
			most := int64(math.MaxInt64) >> (64 - bits)
			return field.Invalid(at, n.value(), fmt.Sprintf("must be between %d and %d", -most-1, most))
		}
		v.SetInt(i)
		return nil
	}
	u, err := strconv.ParseUint(n.text, 10, bits)
	if err != nil {
		return field.Invalid(at, n.value(), fmt.Sprintf("must be between 0 and %d", uint64(math.MaxUint64)>>(64-bits)))
	}
	v.SetUint(u)
	return nil
}

func setString(n *node, v reflect.Value, at *field.Path) *field.Error {
	switch n.kind {
	case kindString:
	case kindBool:
		words := `"yes" or "on"`
		if !n.truth {
			words = `"no" or "off"`
		}
		return field.TypeInvalid(at, n.value(), "must be a string: quote it, such as "+words+" (YAML takes the bare words for true and false)")
	case kindNumber:
		return field.TypeInvalid(at, n.value(), fmt.Sprintf("must be a string: quote it, such as %q", n.text))
	default:
		return field.TypeInvalid(at, n.value(), "must be a string")
	}
	for _, r := range n.text {
		if !inXML(r) {
			return field.Invalid(at, n.value(), fmt.Sprintf("must not contain the character %U: XML cannot hold it", r))
		}
	}
	v.SetString(n.text)
	return nil
}

// inXML says whether XML 1.0 can hold the character (its section 2.2);
// encoding/xml replaces others without a word.
func inXML(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
