package xmldoc

import (
	"math/big"
	"strings"
)

// sameValue says whether a value of two elements is the same.
func (c *comparer) sameValue(a, b *Element, attribute, want, got string) bool {
	if want == got && a.unitOr("") == b.unitOr("") {
		return true
	}
	if unit, ok := c.unit(a, attribute); ok {
		return sameAmount(want, a.unitOr(unit), got, b.unitOr(unit))
	}
	if want == got || attribute == "unit" && c.hasAmount(a) {
		return true // the amount speaks for its unit
	}
	if c.rules.Number == nil || !c.rules.Number(a, attribute) {
		return false
	}
	x, ok := number(want)
	y, both := number(got)
	return ok && both && x.Cmp(y) == 0
}

// unit is the default unit of an amount.
func (c *comparer) unit(e *Element, attribute string) (string, bool) {
	if c.rules.Amount == nil || attribute == "unit" {
		return "", false
	}
	return c.rules.Amount(e, attribute)
}

// hasAmount says whether the element's text or one of its attributes is an
// amount, and so says what its unit says too.
func (c *comparer) hasAmount(e *Element) bool {
	if _, ok := c.unit(e, ""); ok {
		return true
	}
	for i := range e.Attributes {
		if _, ok := c.unit(e, e.Attributes[i].Name); ok {
			return true
		}
	}
	return false
}

func (e *Element) unitOr(unit string) string {
	if u, ok := e.Attribute("unit"); ok {
		return u
	}
	return unit
}

// number reads a number as libvirt does (strtol with base 0, or decimal): with
// a sign, in decimal or after 0x in hexadecimal. Leading zeros do not make it
// octal: libvirt reads most places as decimal, and no document means octal.
func number(s string) (*big.Int, bool) {
	s = strings.Trim(s, " \t\r\n")
	const longest = 40 // 64 bits are 20 digits
	if s == "" || len(s) > longest {
		return nil, false
	}
	digits, sign := s, ""
	if strings.ContainsRune("+-", rune(s[0])) {
		digits, sign = s[1:], s[:1]
	}
	base := 10
	if len(digits) > 2 && (strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X")) {
		digits, base = digits[2:], 16
	}
	if digits == "" || strings.ContainsAny(digits, "+-_") {
		return nil, false
	}
	return new(big.Int).SetString(sign+digits, base)
}

// scales are libvirt's units in bytes (virScaleInteger in src/util/virutil.c).
var scales = map[string]int64{
	"b": 1, "byte": 1, "bytes": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
	"p": 1 << 50, "pib": 1 << 50, "pb": 1e15,
	"e": 1 << 60, "eib": 1 << 60, "eb": 1e18,
}

// sameAmount says whether two numbers with units are the same number of bytes.
func sameAmount(x, xUnit, y, yUnit string) bool {
	a, ok := number(x)
	b, both := number(y)
	if !ok || !both {
		return x == y && xUnit == yUnit
	}
	scaleX, ok := scales[strings.ToLower(xUnit)]
	scaleY, both := scales[strings.ToLower(yUnit)]
	if !ok || !both {
		return a.Cmp(b) == 0 && xUnit == yUnit
	}
	return a.Mul(a, big.NewInt(scaleX)).Cmp(b.Mul(b, big.NewInt(scaleY))) == 0
}
