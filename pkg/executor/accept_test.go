package executor

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func TestRejections(t *testing.T) {
	spec := func(domain string) func(*v1alpha1.VirtualMachine) {
		return func(vm *v1alpha1.VirtualMachine) { vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(domain)} }
	}
	for name, c := range map[string]struct {
		vm      *v1alpha1.VirtualMachine
		prepare func(*stage)
		reason  string
		phase   v1alpha1.Phase
		done    []string
	}{
		"a VM that is too big for what is left": {
			vm:     vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.Granted.CPU = 5 }),
			reason: v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled,
		},
		"a VM for hugepages that the host does not have": {
			vm:     vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.Granted.PageSize = v1alpha1.PageSize2Mi }),
			reason: v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled,
		},
		"a VM for hugepages that somebody else uses": {
			vm: vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.Granted.PageSize = v1alpha1.PageSize2Mi }),
			prepare: func(s *stage) {
				s.hugepages(libvirt.Pages{Size2Mi: 1024})
				s.host.free = []libvirt.CellFree{{Pages: libvirt.Pages{Size2Mi: 511}}}
				s.restart()
			},
			reason: v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled,
		},
		"a VM that names a host path in a restricted namespace": {
			vm:     vmtest.Bound(spec(`{"os":{"kernel":"/boot/vmlinuz"}}`)),
			reason: v1alpha1.ReasonInvalidDomain, phase: v1alpha1.PhaseInvalid,
		},
		"a VM that cannot be converted": {
			vm: vmtest.Bound(spec(`{"nonsense":1}`)), prepare: (*stage).privileged,
			reason: v1alpha1.ReasonInvalidDomain, phase: v1alpha1.PhaseInvalid,
		},
		"a VM of another architecture": {
			vm:     vmtest.Bound(spec(`{"os":{"type":{"arch":"aarch64","type":"hvm"}}}`)),
			reason: v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled,
		},
		"a VM that asks for KVM where it does not work": {
			vm: vmtest.Bound(spec(`{"type":"kvm"}`)), prepare: (*stage).privileged,
			reason: v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled,
		},
		"a VM that libvirt does not define": {
			vm:      vmtest.Bound(),
			prepare: func(s *stage) { s.host.defineErr = fmt.Errorf("no: %w", libvirt.ErrInvalidDomain) },
			reason:  v1alpha1.ReasonInvalidDomain, phase: v1alpha1.PhaseInvalid, done: []string{"define"},
		},
		"a VM whose name another domain has": {
			vm: vmtest.Bound(),
			prepare: func(s *stage) {
				s.host.domains["x"] = libvirt.Domain{Name: "default:guest", UUID: "x", State: libvirt.StateRunning}
			},
			reason: v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled, done: []string{"define"},
		},
		"a VM whose UUID a foreign domain has": {
			vm: vmtest.Bound(),
			prepare: func(s *stage) {
				s.host.domains[vmtest.UID] = libvirt.Domain{Name: "theirs", UUID: vmtest.UID, State: libvirt.StateRunning}
			},
			reason: v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled,
		},
		"a VM whose network the host does not have": {
			vm:      vmtest.Bound(),
			prepare: func(s *stage) { s.host.startErr = fmt.Errorf("no: %w", libvirt.ErrMissingResource) },
			reason:  v1alpha1.ReasonHostUnfit, phase: v1alpha1.PhaseScheduled, done: []string{"define", "start", "undefine"},
		},
		"a VM that libvirt finds wrong when it starts": {
			vm:      vmtest.Bound(),
			prepare: func(s *stage) { s.host.startErr = fmt.Errorf("no: %w", libvirt.ErrInvalidDomain) },
			reason:  v1alpha1.ReasonInvalidDomain, phase: v1alpha1.PhaseInvalid, done: []string{"define", "start", "undefine"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.vm)
			if c.prepare != nil {
				c.prepare(s)
			}
			theirs := len(s.host.domains)
			s.mustTurn()
			s.mustTurn() // it is not tried again
			vm := s.vm()
			if vm.Status.Host == nil || vm.Status.Host.Message == "" {
				t.Fatalf("no message: %+v", vm.Status)
			}
			want := &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRejected, Reason: c.reason}
			if diff := cmp.Diff(want, vm.Status.Host, cmpopts.IgnoreFields(v1alpha1.HostStatus{}, "Message")); diff != "" {
				t.Error(diff)
			}
			if vm.Status.Phase != c.phase {
				t.Errorf("phase %s", vm.Status.Phase)
			}
			if diff := cmp.Diff(c.done, s.host.done); diff != "" {
				t.Error(diff)
			}
			if len(s.host.domains) != theirs {
				t.Errorf("left on the host: %v", s.host.domains)
			}
			if len(s.agent.registry.reserved) != 0 {
				t.Errorf("the rejected VM still holds %v", s.agent.registry.reserved)
			}
		})
	}
}

// privileged lets VMs of the stage's namespace have anything.
func (s *stage) privileged() {
	s.t.Helper()
	ns := &corev1.Namespace{}
	if err := s.api.Get(context.Background(), types.NamespacedName{Name: "default"}, ns); err != nil {
		s.t.Fatal(err)
	}
	ns.Labels = map[string]string{v1alpha1.PolicyLevelLabel: "privileged"}
	if err := s.api.Update(context.Background(), ns); err != nil {
		s.t.Fatal(err)
	}
}

func TestPagesThatSomebodyUsesAreMissedWhereTheyAre(t *testing.T) {
	free := []libvirt.CellFree{{Cell: 0, Pages: libvirt.Pages{Size2Mi: 1024, Size1Gi: 1}}, {Cell: 1, Pages: libvirt.Pages{Size2Mi: 512, Size1Gi: 2}}}
	two := []v1alpha1.PlacedCell{{ID: 0, CPU: 1, Memory: 1 << 30}, {ID: 1, CPU: 1, Memory: 1 << 30}}
	for name, c := range map[string]struct {
		memory int64
		size   v1alpha1.PageSize
		cells  []v1alpha1.PlacedCell
		want   string
	}{
		"in one cell":                  {1 << 30, "2Mi", two[:1], ""},
		"in both":                      {2 << 30, "2Mi", two, ""},
		"in a cell that has too few":   {2 << 30, "1Gi", []v1alpha1.PlacedCell{{ID: 0, CPU: 1, Memory: 2 << 30}}, "need 2Gi of 1Gi hugepages in NUMA cell 0, 1Gi free"},
		"in two that have too few":     {6 << 30, "2Mi", []v1alpha1.PlacedCell{{ID: 0, CPU: 1, Memory: 3 << 30}, {ID: 1, CPU: 1, Memory: 3 << 30}}, "need 3Gi of 2Mi hugepages in NUMA cell 0, 2Gi free; need 3Gi of 2Mi hugepages in NUMA cell 1, 1Gi free"},
		"anywhere":                     {3 << 30, "1Gi", nil, ""},
		"anywhere, with too few":       {4 << 30, "1Gi", nil, "need 4Gi of 1Gi hugepages, 3Gi free"},
		"dedicated CPUs bind no pages": {3 << 30, "2Mi", []v1alpha1.PlacedCell{{ID: 1, CPU: 1, CPUs: "4"}}, ""},
		"in a cell that is gone":       {1 << 30, "2Mi", []v1alpha1.PlacedCell{{ID: 2, CPU: 1, Memory: 1 << 30}}, "need 1Gi of 2Mi hugepages in NUMA cell 2, 0 free"},
	} {
		t.Run(name, func(t *testing.T) {
			var want *plan.Rejection
			if c.want != "" {
				want = &plan.Rejection{Reason: v1alpha1.ReasonHostUnfit, Message: "something on the host uses its hugepages: " + c.want}
			}
			p := v1alpha1.Placement{Granted: v1alpha1.GrantedResources{CPU: 1, Memory: c.memory, PageSize: c.size}, Cells: c.cells}
			if diff := cmp.Diff(want, checkFreePages(free, p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
