package e2e

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/cpuset"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// newDedicatedGuest is a guest with a host CPU of its own and its memory in one
// NUMA cell.
func newDedicatedGuest(t *testing.T, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	vm := newGuest(t, name)
	vm.Spec.Resources.CPUPolicy = v1alpha1.CPUDedicated
	vm.Spec.Resources.NUMA = v1alpha1.NUMASingleCell
	return vm
}

// TestADedicatedGuestHasExactlyItsPlacement holds status.placement against
// libvirt and the kernel, also after the executor's death.
func TestADedicatedGuestHasExactlyItsPlacement(t *testing.T) {
	const name = "dedicated"
	g := NewWithT(t)
	vm := newDedicatedGuest(t, name)
	vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize2Mi}
	t.Cleanup(func() { remove(t, name) })
	create(t, vm)
	g.Eventually(func() string { return env.console(name) }).WithTimeout(bootTime).Should(ContainSubstring(banner), status(t, name))
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())

	const memory = 256 << 20
	placement := *vm.Status.Placement
	g.Expect(placement.Cells).To(HaveLen(1))
	cell := placement.Cells[0]
	want := v1alpha1.Placement{
		NodeName: "real-1",
		Granted:  v1alpha1.GrantedResources{CPU: 1, Memory: memory, Overhead: placement.Granted.Overhead, PageSize: v1alpha1.PageSize2Mi},
		Cells:    []v1alpha1.PlacedCell{{ID: cell.ID, CPU: 1, Memory: memory, CPUs: cell.CPUs}},
	}
	if diff := cmp.Diff(want, placement); diff != "" {
		t.Errorf("placement (-want +got):\n%s", diff)
	}
	cpus, err := cpuset.Parse(cell.CPUs)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(cpus.Size()).To(Equal(1))

	uuid := vm.Status.Host.DomainUUID
	placed := func(t *testing.T) {
		if diff := cmp.Diff(wantBinding(cell), bindingOf(env.domain(t, uuid))); diff != "" {
			t.Errorf("the domain as libvirt runs it (-want +got):\n%s", diff)
		}
		process := qemu(uuid)
		on, err := allowedCPUs(process)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(allowed{vcpus: map[int]string{0: cell.CPUs}, emulator: cell.CPUs, ioThreads: map[int]string{}}, on, cmp.AllowUnexported(allowed{})); diff != "" {
			t.Errorf("CPUs that the kernel lets it run on (-want +got):\n%s", diff)
		}
		in := []mapping{{policy: "bind:" + strconv.Itoa(int(cell.ID)), pages: map[int]int{int(cell.ID): memory >> 21}}}
		if diff := cmp.Diff(in, hugeMappings(t, process), cmp.AllowUnexported(mapping{})); diff != "" {
			t.Errorf("its hugepages by NUMA node (-want +got):\n%s", diff)
		}
	}
	t.Run("in libvirt and the kernel", placed)
	t.Run("it survives the death of its executor", func(t *testing.T) {
		survives(func(t *testing.T) { env.kill(t, "vm-executor-real") })(t, name)
	})
	t.Run("and is where it was", placed)
}

// binding is what of a domain ties it to its host.
type binding struct {
	VCPUPins   []libvirtxml.DomainCPUTuneVCPUPin
	Emulator   *libvirtxml.DomainCPUTuneEmulatorPin
	Memory     *libvirtxml.DomainNUMATuneMemory
	MemNodes   []libvirtxml.DomainNUMATuneMemNode
	GuestCells []libvirtxml.DomainCell
	Hugepages  []libvirtxml.DomainMemoryHugepage
}

// wantBinding is that of a guest with one vCPU and 2 MiB pages in one cell.
func wantBinding(cell v1alpha1.PlacedCell) binding {
	id := uint(0)
	return binding{
		VCPUPins:   []libvirtxml.DomainCPUTuneVCPUPin{{VCPU: 0, CPUSet: cell.CPUs}},
		Emulator:   &libvirtxml.DomainCPUTuneEmulatorPin{CPUSet: cell.CPUs},
		MemNodes:   []libvirtxml.DomainNUMATuneMemNode{{CellID: 0, Mode: "strict", Nodeset: strconv.Itoa(int(cell.ID))}},
		GuestCells: []libvirtxml.DomainCell{{ID: &id, CPUs: "0", Memory: uint(cell.Memory >> 10), Unit: "KiB"}},
		Hugepages:  []libvirtxml.DomainMemoryHugepage{{Size: 2048, Unit: "KiB"}},
	}
}

func bindingOf(d *libvirtxml.Domain) binding {
	var b binding
	if d.CPUTune != nil {
		b.VCPUPins, b.Emulator = d.CPUTune.VCPUPin, d.CPUTune.EmulatorPin
	}
	if d.NUMATune != nil {
		b.Memory, b.MemNodes = d.NUMATune.Memory, d.NUMATune.MemNodes
	}
	if d.CPU != nil && d.CPU.Numa != nil {
		b.GuestCells = d.CPU.Numa.Cell
	}
	if d.MemoryBacking != nil && d.MemoryBacking.MemoryHugePages != nil {
		b.Hugepages = d.MemoryBacking.MemoryHugePages.Hugepages
	}
	return b
}

// TestOthersLeaveADedicatedCPU follows a guest that shares CPUs while another
// one, with a CPU of its own, comes, outlives its executor, and goes.
func TestOthersLeaveADedicatedCPU(t *testing.T) {
	const shared, dedicated = "beside", "alone"
	g := NewWithT(t)
	t.Cleanup(func() { remove(t, shared) })
	vm := newGuest(t, shared)
	vm.Spec.Domain.Raw = bytes.Replace(vm.Spec.Domain.Raw, []byte("{"), []byte(`{"ioThreads":1,`), 1)
	create(t, vm)
	g.Eventually(func() string { return env.console(shared) }).WithTimeout(bootTime).Should(ContainSubstring(banner), status(t, shared))
	vm, err := get(t, shared)()
	g.Expect(err).NotTo(HaveOccurred())
	neighbour := qemu(vm.Status.Host.DomainUUID)
	where := func() (allowed, error) { return allowedCPUs(neighbour) }
	everywhere, err := where()
	g.Expect(err).NotTo(HaveOccurred())
	all, err := cpuset.Parse(everywhere.emulator)
	g.Expect(err).NotTo(HaveOccurred())
	on := func(cpus cpuset.CPUSet) allowed {
		list := cpus.String()
		return allowed{vcpus: map[int]string{0: list}, emulator: list, ioThreads: map[int]string{1: list}}
	}
	g.Expect(everywhere).To(Equal(on(all)))

	t.Cleanup(func() { remove(t, dedicated) })
	vm = newDedicatedGuest(t, dedicated)
	create(t, vm)
	// The first moment of its process: from then on it needs its CPU.
	g.Eventually(func() int { return qemu(vm.DomainUUID()) }).WithTimeout(settleTime).WithPolling(time.Millisecond).
		ShouldNot(BeZero(), status(t, dedicated))
	then, err := where()
	g.Expect(err).NotTo(HaveOccurred())
	vm, err = get(t, dedicated)()
	g.Expect(err).NotTo(HaveOccurred())
	own, err := cpuset.Parse(vm.Status.Placement.Cells[0].CPUs)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(own.Size()).To(Equal(1))
	g.Expect(then).To(Equal(on(all.Difference(own))))
	g.Eventually(func() string { return env.console(dedicated) }).WithTimeout(bootTime).Should(ContainSubstring(banner))
	g.Expect(where()).To(Equal(then))

	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	g.Consistently(where).WithTimeout(stillTime).Should(Equal(then), "a new executor has moved it")

	remove(t, dedicated)
	g.Eventually(where).WithTimeout(settleTime).Should(Equal(everywhere))
	g.Expect(qemu(vm.DomainUUID())).To(BeZero())
}

func TestMoreThanTheHostCouldEverHoldIsSaidAtOnce(t *testing.T) {
	const name = "impossible"
	g := NewWithT(t)
	vm := newDedicatedGuest(t, name)
	vm.Spec.Resources.CPU = 64
	t.Cleanup(func() { remove(t, name) })
	create(t, vm)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(scheduled, And(
		HavePrefix("Unschedulable: "),
		MatchRegexp(`no host that it may use could hold it even when empty\. .*need 64 dedicated CPUs.*, the largest host has [0-9]+ \(real-1\)`))))
}

// scheduled is the reason and the message of the condition Scheduled, where it
// is not True.
func scheduled(vm *v1alpha1.VirtualMachine) string {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
	if c == nil || c.Status == "True" {
		return ""
	}
	return c.Reason + ": " + c.Message
}

// status describes a failure by what the VM says of itself.
func status(t *testing.T, name string) func() string {
	return func() string {
		vm, err := get(t, name)()
		if err != nil {
			return err.Error()
		}
		return cmp.Diff(v1alpha1.VirtualMachineStatus{}, vm.Status)
	}
}
