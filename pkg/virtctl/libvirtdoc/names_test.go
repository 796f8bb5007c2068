package libvirtdoc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFilesOfDocumentsOfOneNameAreNumbered(t *testing.T) {
	vm := func(name string) Written { return Written{Kind: "VirtualMachine", Name: name} }
	got := fileNames([]Written{
		vm("web"), vm("web"), {Kind: "VirtualMachine", Namespace: "demo", Name: "web"}, {Kind: "VirtualDisk", Name: "web"},
		vm("web"), vm(""), vm("web-2"), vm("web-2"), vm(""), vm("../web"),
	})
	want := []string{"web", "web-3", "demo.web", "virtualdisk-web", "web-4", "", "web-2", "web-2-2", "", "web-5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
