package corpus_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// notation is how much of documents their objects' fields do not tell, so that it
// stands in the annotation of the notation.
type notation struct {
	// documents have an annotation; differences are the places in all of them.
	documents, differences int
}

// ceilings are how much notation there is at most. The annotation heals a field
// that is mapped wrongly, so that the round trip alone does not see it; it costs
// differences. Those of a release are what there is: lower them with each field
// that is mapped better. Of others there is the same share of their documents, and
// slack for what their documents have more.
var ceilings = map[string]map[xmldoc.Kind]notation{
	"9.0.0": {
		xmldoc.KindDomain: {1597, 2086}, xmldoc.KindNetwork: {49, 66}, xmldoc.KindSnapshot: {17, 17},
		xmldoc.KindVolume: {40, 58}, xmldoc.KindPool: {12, 12},
	},
}

// slack is by how much documents of another release may have more notation than
// those that ceilings are known of.
const slack = 1.15

// ceiling is how much notation so many documents of a kind may have.
func ceiling(version string, kind xmldoc.Kind, documents int) notation {
	const known = "9.0.0"
	release, _, _ := strings.Cut(version, "-")
	if of, ok := ceilings[release]; ok {
		return of[kind]
	}
	of := ceilings[known][kind]
	share := slack * float64(documents) / float64(floors[known][kind])
	return notation{documents: int(share * float64(of.documents)), differences: int(share * float64(of.differences))}
}

func TestEveryValidDocumentOfLibvirtMakesTheRoundTripAsAnObject(t *testing.T) {
	files := documents(t, libvirtFolder)
	bad := invalid(t, libvirtFolder, files)
	count := map[xmldoc.Kind]int{}
	noted := map[xmldoc.Kind]notation{}
	large := 0
	for _, f := range files {
		if _, ok := bad[f.name]; ok {
			continue
		}
		if _, ok := leftOut[f.name]; ok {
			continue
		}
		switch differences, err := roundTripAsObject(f); {
		case err != nil && strings.Contains(err.Error(), "is too large as an object"):
			large++
		case err != nil:
			t.Errorf("%s: %v", f.name, err)
		default:
			count[f.kind]++
			n := noted[f.kind]
			n.documents, n.differences = n.documents+min(differences, 1), n.differences+differences
			noted[f.kind] = n
		}
	}
	version, atLeast := expected(t)
	for _, kind := range xmldoc.Kinds {
		is, most := noted[kind], ceiling(version, kind, count[kind])
		fmt.Printf("%4d %ss are the same after XML, object, XML; %d of them keep a notation, of %d differences\n",
			count[kind], kind, is.documents, is.differences)
		if least := atLeast[kind]; count[kind] < least {
			t.Errorf("%d %ss, want at least %d", count[kind], kind, least)
		}
		if is.documents > most.documents || is.differences > most.differences {
			t.Errorf("%d %ss keep a notation, of %d differences, and %d of %d may: a field is mapped wrongly, or a document came that needs more",
				is.documents, kind, is.differences, most.documents, most.differences)
		}
	}
	fmt.Printf("%d are larger than an object may be\n", large)
}

// roundTripAsObject reads a document as an object and expects the same document
// of it, and of that the same object. It counts the differences in the object's
// notation.
func roundTripAsObject(f file) (differences int, err error) {
	obj, err := objects.FromXML(f.name, f.text, objects.FromOptions{Limits: limits})
	if err != nil {
		return 0, err
	}
	before, err := objects.Manifest(obj)
	if err != nil {
		return 0, err
	}
	text, err := objects.ToXML(obj, objects.ToOptions{})
	if err != nil {
		return 0, err
	}
	want, err := xmldoc.Parse(f.name, f.text, limits)
	if err != nil {
		return 0, err
	}
	got, err := xmldoc.Parse(f.name, text, limits)
	if err != nil {
		return 0, err
	}
	if d := xmldoc.Compare(want, got, document.Rules()); len(d) > 0 {
		return 0, fmt.Errorf("%s, and %d more", d[0], len(d)-1)
	}
	again, err := objects.FromXML(f.name, text, objects.FromOptions{Limits: limits})
	if err != nil {
		return 0, err
	}
	after, err := objects.Manifest(again)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(before, after) {
		return 0, fmt.Errorf("the object\n%s\nbecame\n%s", before, after)
	}
	annotation, noted := obj.GetAnnotations()[v1alpha1.NotationAnnotation]
	if !noted {
		return 0, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(annotation), &list); err != nil {
		return 0, fmt.Errorf("its notation is no list of differences: %w", err)
	}
	return len(list), nil
}
