package intake_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/intake"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/policy"
)

// corpus is libvirt's own test documents.
const corpus = "../../../../shared/data/libvirt-xml/domain"

// Of whatever libvirt has, what comes out can be read, nothing that typed fields
// own is left in it unsaid, and what was refused and asked to go is gone, but
// for disks and cards.
func TestWhateverLibvirtHasComesOutReadable(t *testing.T) {
	if _, err := os.Stat(corpus); err != nil {
		t.Skipf("libvirt's test documents are not beside the project: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(corpus, "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	const floor = 344
	if len(files) < floor {
		t.Errorf("%d documents, and there were %d", len(files), floor)
	}
	accepted := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		obj, err := objects.FromXML(filepath.Base(file), text, objects.FromOptions{Namespace: "demo"})
		if err != nil {
			t.Fatal(err)
		}
		given := obj.(*v1alpha1.VirtualMachine)
		before := given.DeepCopy()
		for _, level := range []v1alpha1.PolicyLevel{v1alpha1.PolicyRestricted, v1alpha1.PolicyPrivileged} {
			for _, remove := range []bool{false, true} {
				if remove && level == v1alpha1.PolicyPrivileged {
					continue
				}
				vm, changes, refusals := intake.Machine(given, intake.Options{Level: level, RemoveRefused: remove,
					Pools: []intake.Pool{{Name: "default", Path: "/tmp"}, {Name: "vg", Path: "/dev/HostVG"}}})
				if _, err := objects.ToXML(vm, objects.ToOptions{Bare: true}); err != nil {
					t.Errorf("%s at %s: %v", file, level, err)
				}
				again := policy.CheckVirtualMachine(vm, level)
				for _, r := range again {
					if !told(refusals, r) {
						t.Errorf("%s at %s: was not told: %v", file, level, r)
					}
				}
				for _, r := range refusals {
					unusable := r.Field == "spec.resources.memory"
					if !unusable && !slices.ContainsFunc(again, func(a *field.Error) bool { return a.Field == r.Field }) {
						t.Errorf("%s at %s: nothing is wrong with it: %v", file, level, r)
					}
				}
				for _, c := range changes {
					if c.Path == "" || c.What == "" || c.Why == "" {
						t.Errorf("%s at %s: an empty change %+v", file, level, c)
					}
				}
				for _, r := range refusals {
					if remove && r.Type == "FieldValueForbidden" && !strings.HasPrefix(r.Field, "spec.domain.devices.disks") && !strings.HasPrefix(r.Field, "spec.domain.devices.interfaces") {
						t.Errorf("%s at %s: was not removed: %v", file, level, r)
					}
				}
				if len(refusals) == 0 && level == v1alpha1.PolicyRestricted && !remove {
					accepted++
				}
			}
		}
		if !reflect.DeepEqual(before, given) {
			t.Errorf("%s: the VM that was given has changed", file)
		}
	}
	t.Logf("%d of %d are accepted at level restricted as they come out", accepted, len(files))
	if accepted == 0 {
		t.Error("none is accepted")
	}
}

// told says whether a refusal is among those that are told, or what it is about is
// named by the one of its device's source.
func told(refusals field.ErrorList, r *field.Error) bool {
	device, part, _ := strings.Cut(r.Field, "].")
	part, _, _ = strings.Cut(part, ".")
	return slices.ContainsFunc(refusals, func(other *field.Error) bool {
		return other.Field == r.Field ||
			strings.HasPrefix(other.Field, device+"].source") && strings.Contains(other.Detail, "with another source, remove ") && strings.Contains(other.Detail, part)
	})
}
