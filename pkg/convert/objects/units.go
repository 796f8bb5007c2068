package objects

import (
	"math/big"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// unitBytes is what libvirt's units of memory and storage stand for, in bytes,
// in lower case (virScaleInteger in libvirt's src/util/virutil.c).
var unitBytes = func() map[string]*big.Int {
	units := map[string]*big.Int{"b": big.NewInt(1), "byte": big.NewInt(1), "bytes": big.NewInt(1)}
	binary, decimal := big.NewInt(1), big.NewInt(1)
	for _, letter := range []string{"k", "m", "g", "t", "p", "e"} {
		binary = new(big.Int).Mul(binary, big.NewInt(1024))
		decimal = new(big.Int).Mul(decimal, big.NewInt(1000))
		units[letter], units[letter+"ib"], units[letter+"b"] = binary, binary, decimal
	}
	return units
}()

// amount is so many of a unit in bytes; plain is the unit when none is named. It
// is false where there is no such unit, or the amount is beyond an int64.
func amount(value uint64, unit, plain string) (resource.Quantity, bool) {
	if unit == "" {
		unit = plain
	}
	each, known := unitBytes[strings.ToLower(unit)]
	if !known {
		return resource.Quantity{}, false
	}
	n := new(big.Int).Mul(new(big.Int).SetUint64(value), each)
	if !n.IsInt64() {
		return resource.Quantity{}, false
	}
	return *resource.NewQuantity(n.Int64(), resource.BinarySI), true
}

// inUnits writes an amount of bytes as libvirt does: in KiB where it is whole,
// and otherwise in bytes. Fractions of a byte are rounded up.
func inUnits(q resource.Quantity) (value uint64, unit string) {
	bytes := uint64(max(q.Value(), 0))
	if bytes%1024 == 0 {
		return bytes / 1024, "KiB"
	}
	return bytes, "bytes"
}
