package policy

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/tree"
)

// onTheList reads the tables anew, apart from the code under test.
func onTheList(path string) bool {
	for _, entries := range [][]entry{restrictedDomain, restrictedDevices} {
		for _, e := range entries {
			for _, allowed := range e.paths() {
				below, whole := strings.CutSuffix(allowed, "**")
				if path == allowed || whole && strings.HasPrefix(path, below) {
					return true
				}
			}
		}
	}
	return false
}

func isOwned(path string) bool {
	for pattern := range owned {
		if path == pattern || strings.HasPrefix(path, pattern+".") {
			return true
		}
	}
	return false
}

// documentWith returns a domain in which nothing but the leaf is set.
func documentWith(t *testing.T, leaf tree.Leaf) *libvirtxml.Domain {
	t.Helper()
	raw := map[tree.LeafKind]string{
		tree.LeafString: `"x"`, tree.LeafNumber: "1", tree.LeafFlag: "true", tree.LeafAgain: "{}",
	}[leaf.Kind]
	keys := strings.Split(leaf.Path, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		key, list := strings.CutSuffix(keys[i], "[]")
		if list {
			raw = "[" + raw + "]"
		}
		raw = fmt.Sprintf("{%q:%s}", key, raw)
	}
	domain, errs := tree.Decode[libvirtxml.Domain]([]byte(raw), nil)
	if len(errs) > 0 {
		t.Fatalf("%s: %v", leaf.Path, errs)
	}
	return domain
}

// forbids says whether one of the errors forbids the leaf or what it lies in.
func forbids(errs field.ErrorList, path string) bool {
	path = strings.ReplaceAll(path, "[]", "[0]")
	for _, err := range errs {
		if err.Type == field.ErrorTypeForbidden && (path == err.Field ||
			strings.HasPrefix(path, err.Field+".") || strings.HasPrefix(path, err.Field+"[")) {
			return true
		}
	}
	return false
}

func TestEveryPathThatIsNotListedIsRefused(t *testing.T) {
	leaves := tree.Leaves[libvirtxml.Domain]()
	listed := 0
	for _, leaf := range leaves {
		domain := documentWith(t, leaf)
		if onTheList(leaf.Path) {
			listed++
		}
		want := !onTheList(leaf.Path)
		if got := forbids(Check(domain, v1alpha1.PolicyRestricted, "ns", nil), leaf.Path); got != want {
			t.Errorf("restricted forbids %s: %v, want %v", leaf.Path, got, want)
		}
		if got := forbids(Check(domain, v1alpha1.PolicyPrivileged, "ns", nil), leaf.Path); got != isOwned(leaf.Path) {
			t.Errorf("privileged forbids %s: %v, want %v", leaf.Path, got, !got)
		}
	}
	t.Logf("%d of %d paths are allowed at level restricted", listed, len(leaves))
}

func TestEveryListedPathExists(t *testing.T) {
	leaves := tree.Leaves[libvirtxml.Domain]()
	exists := func(path string) bool {
		for _, leaf := range leaves {
			if leaf.Path == path || strings.HasPrefix(leaf.Path, path+".") {
				return true
			}
		}
		return false
	}
	seen := map[string]bool{}
	for _, entries := range [][]entry{restrictedDomain, restrictedDevices} {
		for _, e := range entries {
			for _, path := range e.paths() {
				if seen[path] {
					t.Errorf("%s is listed twice", path)
				}
				seen[path] = true
				path = strings.TrimSuffix(path, ".**")
				if !exists(path) {
					t.Errorf("%s is listed, and libvirt has no such thing", path)
				}
				if isOwned(path) {
					t.Errorf("%s is listed and owned", path)
				}
			}
		}
	}
	for path := range owned {
		if !exists(path) {
			t.Errorf("%s is owned, and libvirt has no such thing", path)
		}
	}
}

func TestObjectsInWhichNothingIsSetAreJudgedToo(t *testing.T) {
	for raw, want := range map[string]string{
		`{"devices": {"hostdevs": [{}]}}`:                                 "devices.hostdevs[0]",
		`{"devices": {"nvram": {}}}`:                                      "devices.nvram",
		`{"os": {"nvRam": {}}}`:                                           "os.nvRam",
		`{"qemuCommandline": {}}`:                                         "qemuCommandline",
		`{"devices": {"serials": [{"source": {"unix": {}}}]}}`:            "devices.serials[0].source.unix",
		`{"devices": {"interfaces": [{"source": {"ethernet": {}}}]}}`:     "devices.interfaces[0].source.ethernet",
		`{"devices": {"tpms": [{"backend": {"passthrough": {}}}]}}`:       "devices.tpms[0].backend.passthrough",
		`{"devices": {"graphics": [{"vnc": {"listeners": [{}]}}]}}`:       "",
		`{"devices": {}, "features": {}, "memoryBacking": {}, "cpu": {}}`: "",
	} {
		domain, errs := tree.Decode[libvirtxml.Domain]([]byte(raw), nil)
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		got := ""
		for _, err := range Check(domain, v1alpha1.PolicyRestricted, "ns", nil) {
			got += err.Field
		}
		if got != want {
			t.Errorf("%s: refused %q, want %q", raw, got, want)
		}
	}
}
