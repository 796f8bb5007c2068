package objects

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// checkAmounts refuses memory that libvirt refuses, and that no quantity can hold:
// such a guest would be one without any.
func checkAmounts(doc *document.Document) error {
	var errs xmldoc.Errors
	root := doc.XML.Root
	check := func(e *xmldoc.Element, at, text string) {
		// What is no number is refused when it is decoded.
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return
		}
		unit, _ := e.Attribute("unit")
		if _, ok := amount(n, unit, "KiB"); ok {
			return
		}
		problem := &xmldoc.Error{File: doc.XML.File, Line: e.Line, Column: e.Column, Element: at,
			Problem: fmt.Sprintf("is %d %s, which is too large", n, orKiB(unit)),
			Remedy:  fmt.Sprintf("libvirt takes at most %d KiB", int64(math.MaxInt64)/1024)}
		if _, known := unitBytes[strings.ToLower(orKiB(unit))]; !known {
			problem.Element, problem.Problem = e.Path()+"/@unit", fmt.Sprintf("is %q, which is no unit of libvirt's", unit)
			problem.Remedy = "write KiB, MiB or GiB"
		}
		errs = append(errs, problem)
	}
	for _, name := range []string{"maxMemory", "memory", "currentMemory"} {
		if e := root.Child(name); e != nil {
			check(e, e.Path(), e.Text)
		}
	}
	if cpu := root.Child("cpu"); cpu != nil && cpu.Child("numa") != nil {
		for _, cell := range cpu.Child("numa").Children {
			if text, ok := cell.Attribute("memory"); ok && cell.Name == "cell" {
				check(cell, cell.Path()+"/@memory", text)
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func orKiB(unit string) string {
	if unit == "" {
		return "KiB"
	}
	return unit
}
