package podless

import (
	"encoding/json"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// guestAnnotation is where a VM in memory says which guest it is once its
// domain has been dropped. It is never stored in the API server.
const guestAnnotation = "domus.dev/guest"

// Guest is what is kept of a domain: what it asks of the kind of host, of which
// parts that are empty can be any, and what its devices take there.
type Guest struct {
	// Type is libvirt's kind of virtualization: kvm, qemu.
	Type string `json:"type,omitempty"`
	// Arch is libvirt's architecture: x86_64, aarch64.
	Arch string `json:"arch,omitempty"`
	// DeviceOverhead is the devices' part of QEMU's overhead in bytes.
	DeviceOverhead int64 `json:"deviceOverhead,omitempty"`
}

// Kind is what the guest asks of the kind of host, alone.
func (g Guest) Kind() Guest {
	g.DeviceOverhead = 0
	return g
}

// OfAnyKind says whether any kind of host will do.
func (g Guest) OfAnyKind() bool { return g.Kind() == Guest{} }

// guestOf reads what matters here of spec.domain. A domain that cannot be read
// asks for nothing: a host says what is wrong with it.
func guestOf(vm *v1alpha1.VirtualMachine) Guest {
	if vm.Spec.Domain == nil {
		return Guest{}
	}
	var domain struct {
		Type string `json:"type"`
		OS   struct {
			Type struct {
				Arch string `json:"arch"`
			} `json:"type"`
		} `json:"os"`
	}
	if json.Unmarshal(vm.Spec.Domain.Raw, &domain) != nil {
		return Guest{}
	}
	return Guest{Type: domain.Type, Arch: domain.OS.Type.Arch}
}

// Trim drops from a VM what neither scheduler nor controllers look at; most of
// a VM is its domain. What the domain asks of hosts is kept. It changes vm, and
// is for an informer's transform: what it keeps cannot be told from an
// annotation that a user wrote, so a VM is trimmed once.
func Trim(vm *v1alpha1.VirtualMachine) {
	guest := guestOf(vm)
	guest.DeviceOverhead = capacity.DeviceOverhead(&vm.Spec)
	vm.ManagedFields, vm.Annotations, vm.Spec.Domain = nil, nil, nil
	if guest == (Guest{}) {
		return
	}
	// Strings and numbers always can be written as JSON.
	if data, err := json.Marshal(guest); err == nil {
		vm.Annotations = map[string]string{guestAnnotation: string(data)}
	}
}

// GuestOf reads which guest a projected Pod stands for.
func GuestOf(annotations map[string]string) Guest {
	var guest Guest
	// Trim wrote it; without it the guest asks for nothing.
	_ = json.Unmarshal([]byte(annotations[guestAnnotation]), &guest)
	return guest
}

// Desired is what a VM would be granted if it were placed now, trimmed or not.
func Desired(vm *v1alpha1.VirtualMachine) v1alpha1.GrantedResources {
	if _, trimmed := vm.Annotations[guestAnnotation]; !trimmed || vm.Spec.Domain != nil {
		return capacity.Desired(&vm.Spec)
	}
	return capacity.DesiredWith(&vm.Spec, GuestOf(vm.Annotations).DeviceOverhead)
}

// guestAnnotations are the annotations a projected Pod has.
func guestAnnotations(vm *v1alpha1.VirtualMachine) map[string]string {
	if guest, ok := vm.Annotations[guestAnnotation]; ok {
		return map[string]string{guestAnnotation: guest}
	}
	return nil
}
