package convert_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func TestTheDocumentsAreValidByLibvirtsSchema(t *testing.T) {
	// virt-xml-validate is a script that calls xmllint.
	for _, tool := range []string{"virt-xml-validate", "xmllint"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v: run hack/install-deps.sh, which installs libvirt-clients and libxml2-utils", err)
		}
	}
	documents, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(documents) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, document := range documents {
		if said, err := exec.Command("virt-xml-validate", document, "domain").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", document, err, said)
		}
	}
}
