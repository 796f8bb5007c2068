package objects_test

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/convert/objects"
)

// corpus is libvirt's own test documents.
const corpus = "../../../../shared/data/libvirt-xml"

func TestLibvirtsOwnDomainsRoundTrip(t *testing.T) {
	dir := filepath.Join(corpus, "domain")
	files, _ := filepath.Glob(dir + "/*.xml")
	if len(files) == 0 {
		t.Skip("libvirt's test documents are not beside the project")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want libvirtxml.Domain
		if err := xml.Unmarshal(text, &want); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		obj, err := objects.FromXML(filepath.Base(file), text, objects.FromOptions{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		back, err := objects.ToXML(obj, objects.ToOptions{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		canonical, _ := want.Marshal()
		if diff := cmp.Diff(canonical+"\n", string(back)); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
		again, err := objects.FromXML("again", back, objects.FromOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(object(t, obj), object(t, again)); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

func object(t *testing.T, obj client.Object) string {
	t.Helper()
	raw, err := json.MarshalIndent(obj, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
