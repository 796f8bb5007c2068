package podless

import (
	"encoding/json"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// guestAnnotation is where a VM in memory says which guest it is once its
// domain has been dropped. It is never stored in the API server, which refuses
// a space in a key: no user can have written it.
const guestAnnotation = "domus.dev/guest in memory"

// Guest is what is kept of a domain: what it asks of the kind of host, of which
// parts that are empty can be any, and what its devices take there.
type Guest struct {
	// Type is libvirt's kind of virtualization: kvm, qemu.
	Type string `json:"type,omitempty"`
	// Arch is libvirt's architecture: x86_64, aarch64.
	Arch string `json:"arch,omitempty"`
	// Machine is the machine type or an alias of one: pc-q35-9.2, q35.
	Machine string `json:"machine,omitempty"`
	// CPUModel is the named CPU model that the host must have as it is.
	CPUModel string `json:"cpuModel,omitempty"`
	// CPUFeatures are the CPU features that the host must have, sorted, each
	// once, joined by commas: Guests can be compared.
	CPUFeatures string `json:"cpuFeatures,omitempty"`
	// Firmware is what the host is to find firmware for: bios, efi.
	Firmware string `json:"firmware,omitempty"`
	// SecureBoot asks that such firmware have Secure Boot.
	SecureBoot bool `json:"secureBoot,omitempty"`
	// DeviceOverhead is the devices' part of QEMU's overhead in bytes.
	DeviceOverhead int64 `json:"deviceOverhead,omitempty"`
}

// Kind is what the guest asks of the kind of host, alone.
func (g Guest) Kind() Guest {
	g.DeviceOverhead = 0
	return g
}

// Trim drops from a VM what neither scheduler nor controllers look at; most of
// a VM is its domain. What the domain asks of hosts is kept. It changes vm, and
// is for an informer's transform. Trimming again changes nothing: an informer
// transforms what it lists at its start twice.
func Trim(vm *v1alpha1.VirtualMachine) {
	if _, trimmed := vm.Annotations[guestAnnotation]; trimmed {
		return
	}
	guest := guestOf(vm)
	guest.DeviceOverhead = capacity.DeviceOverhead(&vm.Spec)
	had := vm.Spec.Domain != nil
	vm.ManagedFields, vm.Annotations, vm.Spec.Domain = nil, nil, nil
	vm.Spec.CloudInit = vm.Spec.CloudInit.References()
	if !had && guest == (Guest{}) {
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
