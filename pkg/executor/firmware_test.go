package executor

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func withFirmware(vm *v1alpha1.VirtualMachine) {
	vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"os": {"firmware": "efi"}, "devices": {"tpms": [{"model": "tpm-crb", "backend": {"emulator": {"version": "2.0"}}}]}}`)}
}

func discards(vm *v1alpha1.VirtualMachine) { vm.Spec.FirmwareState = v1alpha1.FirmwareDiscard }

// TestWhatBecomesOfFirmwareState: it is never lost in silence, and never kept of a
// VM that is gone.
func TestWhatBecomesOfFirmwareState(t *testing.T) {
	grown := func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.Memory = resource.MustParse("2Gi")
		vm.Generation++
	}
	const kept = "the VM keeps its place, for its UEFI variables and its TPM's state would be lost with it: to give them up, set spec.firmwareState to Discard"
	for name, test := range map[string]struct {
		vm   []func(*v1alpha1.VirtualMachine)
		then []func(*v1alpha1.VirtualMachine)
		// state and message are what is said then; Gone also that the domain is.
		state   v1alpha1.HostState
		message string
		// lost says that an event tells of the loss.
		lost bool
	}{
		"stopped, and to give its place back":       {nil, []func(*v1alpha1.VirtualMachine){vmtest.Switched, vmtest.Releases}, v1alpha1.HostStopped, kept, false},
		"the same, where it may be lost":            {[]func(*v1alpha1.VirtualMachine){discards}, []func(*v1alpha1.VirtualMachine){vmtest.Switched, vmtest.Releases}, v1alpha1.HostGone, "the VM is stopped", true},
		"stopped":                                   {nil, []func(*v1alpha1.VirtualMachine){vmtest.Switched}, v1alpha1.HostStopped, "", false},
		"evicted":                                   {nil, []func(*v1alpha1.VirtualMachine){vmtest.Evicted}, v1alpha1.HostGone, "for a VM of higher priority", true},
		"started with another size":                 {nil, []func(*v1alpha1.VirtualMachine){vmtest.Switched, nil, vmtest.Shall(v1alpha1.PowerRunning), grown}, v1alpha1.HostFailed, "another place is needed for the spec.resources.memory that the VM has now, and the guest is not started: " + kept + ", or take the change back", false},
		"the same, and it may be lost":              {[]func(*v1alpha1.VirtualMachine){discards}, []func(*v1alpha1.VirtualMachine){vmtest.Switched, nil, vmtest.Shall(v1alpha1.PowerRunning), grown}, v1alpha1.HostGone, "another place is needed", true},
		"started with a domain that is not allowed": {nil, []func(*v1alpha1.VirtualMachine){vmtest.Switched, nil, vmtest.Shall(v1alpha1.PowerRunning), notAllowed}, v1alpha1.HostFailed, "spec.domain.os.kernel: Forbidden", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, scheduled(append(test.vm, withFirmware)...))
			s.mustTurn()
			if s.host.domains[vmtest.UID].Firmware != (libvirt.FirmwareState{UEFI: true, TPM: true}) {
				t.Fatalf("the domain is %+v", s.host.domains[vmtest.UID])
			}
			s.told()
			var edits []func(*v1alpha1.VirtualMachine)
			settle := func() {
				s.edit(func(vm *v1alpha1.VirtualMachine) {
					for _, f := range edits {
						f(vm)
					}
				})
				edits = nil
				s.mustTurn()
				s.mustTurn()
			}
			for _, f := range test.then {
				if f == nil {
					settle()
					continue
				}
				edits = append(edits, f)
			}
			settle()
			h := s.said()
			if h.State != test.state || !strings.HasPrefix(h.Message, test.message) {
				t.Errorf("got %s %q, want %s %q", h.State, h.Message, test.state, test.message)
			}
			if _, there := s.host.domains[vmtest.UID]; there == (test.state == v1alpha1.HostGone) {
				t.Errorf("the domain is there: %t", there)
			}
			if told := s.told(); slices.Contains(told, eventFirmwareLost) != test.lost {
				t.Errorf("told was %v", told)
			}
		})
	}
}

func notAllowed(vm *v1alpha1.VirtualMachine) {
	vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"os": {"firmware": "efi", "kernel": "/boot/vmlinuz"}}`)}
	vm.Generation++
}
