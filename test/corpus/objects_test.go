package corpus_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/convert/xmldoc"
)

func TestEveryValidDocumentOfLibvirtMakesTheRoundTripAsAnObject(t *testing.T) {
	files := documents(t, libvirtFolder)
	bad := invalid(t, libvirtFolder, files)
	count := map[xmldoc.Kind]int{}
	large, noted := 0, 0
	for _, f := range files {
		if _, ok := bad[f.name]; ok {
			continue
		}
		if _, ok := leftOut[f.name]; ok {
			continue
		}
		switch annotated, err := roundTripAsObject(f); {
		case err != nil && strings.Contains(err.Error(), "is too large as an object"):
			large++
		case err != nil:
			t.Errorf("%s: %v", f.name, err)
		default:
			count[f.kind]++
			if annotated {
				noted++
			}
		}
	}
	_, atLeast := expected(t)
	for _, kind := range xmldoc.Kinds {
		fmt.Printf("%4d %ss are the same after XML, object, XML\n", count[kind], kind)
		if least := atLeast[kind]; count[kind] < least {
			t.Errorf("%d %ss, want at least %d", count[kind], kind, least)
		}
	}
	fmt.Printf("%d of them keep a notation, %d are larger than an object may be\n", noted, large)
}

// roundTripAsObject reads a document as an object and expects the same document
// of it, and of that the same object. It says whether the object has a notation.
func roundTripAsObject(f file) (annotated bool, err error) {
	obj, err := objects.FromXML(f.name, f.text, objects.FromOptions{Limits: limits})
	if err != nil {
		return false, err
	}
	before, err := objects.Manifest(obj)
	if err != nil {
		return false, err
	}
	text, err := objects.ToXML(obj, objects.ToOptions{})
	if err != nil {
		return false, err
	}
	want, err := xmldoc.Parse(f.name, f.text, limits)
	if err != nil {
		return false, err
	}
	got, err := xmldoc.Parse(f.name, text, limits)
	if err != nil {
		return false, err
	}
	if d := xmldoc.Compare(want, got, document.Rules()); len(d) > 0 {
		return false, fmt.Errorf("%s, and %d more", d[0], len(d)-1)
	}
	again, err := objects.FromXML(f.name, text, objects.FromOptions{Limits: limits})
	if err != nil {
		return false, err
	}
	after, err := objects.Manifest(again)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(before, after) {
		return false, fmt.Errorf("the object\n%s\nbecame\n%s", before, after)
	}
	return bytes.Contains(before, []byte(`domus.dev/libvirt-notation`)), nil
}
