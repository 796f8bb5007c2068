package objects_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// corpus is libvirt's own test documents.
const corpus = "../../../../shared/data/libvirt-xml"

// floors are how many documents of each kind there were, all of which were read.
var floors = map[string]int{"domain": 344, "network": 13, "pool": 16, "snapshot": 3, "volume": 12}

func TestLibvirtsOwnDocumentsRoundTripAsObjects(t *testing.T) {
	if _, err := os.Stat(corpus); err != nil {
		t.Skipf("libvirt's test documents are not beside the project: %v", err)
	}
	for kind, floor := range floors {
		t.Run(kind, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(corpus, kind, "*.xml"))
			if err != nil {
				t.Fatal(err)
			}
			held := 0
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if roundTrip(t, filepath.Base(file), text) {
					held++
				}
			}
			t.Logf("%d of %d", held, len(files))
			if held < floor {
				t.Errorf("%d documents came back the same, and were %d", held, floor)
			}
		})
	}
}

// roundTrip reads a document as an object, writes it, and expects the same
// document, and from it the same object.
func roundTrip(t *testing.T, name string, text []byte) bool {
	t.Helper()
	obj, err := objects.FromXML(name, text, objects.FromOptions{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return false
	}
	written, err := objects.ToXML(obj, objects.ToOptions{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return false
	}
	first, err := xmldoc.Parse(name, text, xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := xmldoc.Parse("back.xml", written, xmldoc.Limits{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return false
	}
	same := true
	for _, d := range xmldoc.Compare(first, second, document.Rules()) {
		same = false
		t.Errorf("%s:%d: %s", name, d.Line, d)
	}
	again, err := objects.FromXML("back.xml", written, objects.FromOptions{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return false
	}
	if diff := cmp.Diff(indented(t, obj), indented(t, again)); diff != "" {
		same = false
		t.Errorf("%s: the object became another: %s", name, diff)
	}
	return same
}

func indented(t *testing.T, obj client.Object) string {
	t.Helper()
	raw, err := objects.Manifest(obj)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if raw, err = json.MarshalIndent(v, "", " "); err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
