package podless

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func withDomain(domain string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(domain)} }
}

func TestTrimKeepsWhatADomainAsksOfHosts(t *testing.T) {
	for name, test := range map[string]struct {
		vm      *v1alpha1.VirtualMachine
		want    Guest
		anyKind bool
	}{
		"no domain":           {vm(), Guest{DeviceOverhead: capacity.TranslationCache}, true},
		"KVM without devices": {vm(withDomain(`{"type":"kvm"}`)), Guest{Type: "kvm"}, false},
		"devices ask for no kind of host": {
			vm(withDomain(`{"devices":{"videos":[{"model":{"type":"vga"}}]}}`)),
			Guest{DeviceOverhead: capacity.TranslationCache + 16<<20}, true,
		},
		"an architecture": {
			vm(withDomain(`{"type":"qemu","os":{"type":{"arch":"aarch64"}}}`)),
			Guest{Type: "qemu", Arch: "aarch64", DeviceOverhead: capacity.TranslationCache}, false,
		},
		"a domain that cannot be read": {vm(withDomain(`[]`)), Guest{DeviceOverhead: capacity.TranslationCache}, true},
	} {
		t.Run(name, func(t *testing.T) {
			Trim(test.vm)
			// As an informer does with what it lists at its start.
			Trim(test.vm)
			if test.vm.Spec.Domain != nil {
				t.Error("the domain is still there")
			}
			got := GuestOf(Project(test.vm, defaultPriority).Annotations)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("guest (-want +got):\n%s", diff)
			}
			if anyKind := got.Kind() == (Guest{}); anyKind != test.anyKind {
				t.Errorf("of any kind: %t, want %t", anyKind, test.anyKind)
			}
		})
	}
}

func TestWhatIsDesiredOutlivesTrimming(t *testing.T) {
	const devices = `{"type":"kvm","devices":{"disks":[{"driver":{"type":"qcow2"}}],"hostdevs":[{"subsysPCI":{}}]}}`
	for name, machine := range map[string]*v1alpha1.VirtualMachine{
		"no domain":            vm(),
		"KVM without devices":  vm(withDomain(`{"type":"kvm"}`)),
		"devices":              vm(withDomain(devices)),
		"a domain of nonsense": vm(withDomain(`[]`)),
		"host devices": vm(withDomain(devices), func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Resources.Devices = []v1alpha1.DeviceRequest{{Name: "gpu", Count: 2}}
		}),
		"hugepages": vm(withDomain(devices), func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi}
		}),
		"an overhead of its own": vm(withDomain(devices), func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Resources.Overhead = ptr.To(resource.MustParse("300Mi"))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			want := Desired(machine)
			if diff := cmp.Diff(capacity.Desired(&machine.Spec), want); diff != "" {
				t.Errorf("untrimmed (-want +got):\n%s", diff)
			}
			for times := range 2 {
				Trim(machine)
				if diff := cmp.Diff(want, Desired(machine)); diff != "" {
					t.Errorf("trimmed %d times (-want +got):\n%s", times+1, diff)
				}
			}
		})
	}
}
