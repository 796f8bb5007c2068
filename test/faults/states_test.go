package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

// state is what a VM is in, or on its way to, when a fault strikes.
type state struct {
	name string
	// shared VMs are used for one fault after the other, as long as each has the
	// state.
	shared bool
	// short ones are tried in a short run, too.
	short bool
	// create makes the VM that reach is for; nil makes a plain one.
	create func(t *testing.T, name string) *v1alpha1.VirtualMachine
	// reach brings it into the state; nil leaves all to then.
	reach func(t *testing.T, name string) *subject
	// then is what happens last before the fault strikes.
	then func(t *testing.T, s *subject)
	// amid is what is done to it while the fault lasts.
	amid func(t *testing.T, s *subject)
}

// The states.
var (
	isRunning = state{name: "running", shared: true, short: true, reach: runIt}
	isOff     = state{name: "stopped", shared: true, short: true, reach: runAndStop}
	// isStarting was just created.
	isStarting = state{name: "starting", then: func(t *testing.T, s *subject) { s.uuid = create(t, s.name).DomainUUID() }}
	// isStopping has just been asked to shut down, isDeleted to go.
	isStopping = state{name: "stopping", reach: runIt, then: power(v1alpha1.PowerStopped)}
	isDeleted  = state{name: "being deleted", reach: runIt, then: ask4Deletion}
	// isNeighbour is told to stop and to start while the fault lasts.
	isNeighbour = state{name: "its neighbour", reach: runIt, amid: stopAndStart}
	// isToldToStop and isToldToStart are told so while the fault lasts.
	isToldToStop  = state{name: "running, told to stop meanwhile", reach: runIt, amid: power(v1alpha1.PowerStopped)}
	isToldToStart = state{name: "stopped, told to start meanwhile", reach: runAndStop, amid: power(v1alpha1.PowerRunning)}
	// isDeletedAmid and isOffAndDeletedAmid are deleted while the fault lasts.
	isDeletedAmid       = state{name: "running, deleted meanwhile", reach: runIt, amid: ask4Deletion}
	isOffAndDeletedAmid = state{name: "stopped, deleted meanwhile", reach: runAndStop, amid: ask4Deletion}
	// hasFullDisk writes to a disk until there is no room for it.
	hasFullDisk = state{name: "writing to a disk", create: createWithScratchDisk, reach: runAndRemember}
	// The next three are told what to do while their disks are full.
	hasFullDiskAndPauses   = state{name: "writing to a disk, told to pause meanwhile", create: createWithScratchDisk, reach: runAndRemember, amid: power(v1alpha1.PowerPaused)}
	hasFullDiskAndSuspends = state{name: "writing to a disk, told to suspend meanwhile", create: createWithScratchDisk, reach: runAndRemember, amid: power(v1alpha1.PowerSuspended)}
	hasFullDiskAndStops    = state{name: "writing to a disk, told to stop meanwhile", create: createWithScratchDisk, reach: runAndRemember, amid: power(v1alpha1.PowerStopped)}
)

// States around a copy of etcd.
var (
	isCreatedSince = state{name: "created since the copy", then: func(t *testing.T, s *subject) { s.uuid = runIt(t, s.name).uuid }}
	isStoppedSince = state{name: "stopped since the copy", reach: runIt, then: func(t *testing.T, s *subject) {
		power(v1alpha1.PowerStopped)(t, s)
		reaches(t, s, off)
	}}
	isStartedSince = state{name: "started since the copy", reach: runAndStop, then: func(t *testing.T, s *subject) {
		power(v1alpha1.PowerRunning)(t, s)
		reaches(t, s, running)
		hears(t, s)
	}}
	isDeletedSince = state{name: "deleted since the copy", reach: runIt, then: func(t *testing.T, s *subject) { remove(t, s.name) }}
)

// runIt brings the VM to run, and its guest to answer.
func runIt(t *testing.T, name string) *subject {
	t.Helper()
	s := subjectOf(t, name, v1alpha1.PowerRunning)
	reaches(t, s, running)
	hears(t, s)
	return s
}

// runAndStop brings the VM to have run, and to be off.
func runAndStop(t *testing.T, name string) *subject {
	t.Helper()
	if !strings.Contains(env.Console(name), live.Banner) {
		runIt(t, name)
	}
	s := subjectOf(t, name, v1alpha1.PowerStopped)
	reaches(t, s, off)
	return s
}

// subjectOf is the VM, made if there is none, with the power state.
func subjectOf(t *testing.T, name string, want v1alpha1.PowerState) *subject {
	t.Helper()
	vm, err := get(t.Context(), name)
	must(t, err)
	if vm == nil {
		vm = create(t, name)
	}
	s := &subject{name: name, uuid: vm.DomainUUID()}
	if vm.Spec.PowerState != want {
		power(want)(t, s)
	}
	return s
}

func reaches(t *testing.T, s *subject, is func(observation) string) {
	t.Helper()
	within(t, settleTime, "VM "+s.name+" is ready for the fault", func() string {
		o, err := s.observe(t.Context())
		if err != nil {
			return err.Error()
		}
		return is(o)
	})
}

// hears waits for a guest's answer.
func hears(t *testing.T, s *subject) {
	t.Helper()
	_, err := ask(s.process().pid, bootTime)
	must(t, err)
}

// power tells the VM, as often as it takes to be heard: with vm-scheduler away
// nothing is admitted.
func power(want v1alpha1.PowerState) func(t *testing.T, s *subject) {
	return tell(fmt.Sprintf(`{"powerState":%q}`, want))
}

// tell is power for more of the spec, which is JSON.
func tell(spec string) func(t *testing.T, s *subject) {
	return func(t *testing.T, s *subject) {
		t.Helper()
		within(t, settleTime, s.name+" is told "+spec, func() string {
			if err := patchSpec(t.Context(), s.name, spec); err != nil {
				return err.Error()
			}
			return ""
		})
	}
}

func ask4Deletion(t *testing.T, s *subject) {
	t.Helper()
	must(t, env.Delete(t.Context(), named(s.name)))
}

// stopAndStart notes how long it takes.
func stopAndStart(t *testing.T, s *subject) {
	t.Helper()
	began := time.Now()
	power(v1alpha1.PowerStopped)(t, s)
	reaches(t, s, off)
	stopped := time.Now()
	power(v1alpha1.PowerRunning)(t, s)
	reaches(t, s, running)
	s.note = fmt.Sprintf("off after %.1f s, on after %.1f s", stopped.Sub(began).Seconds(), time.Since(stopped).Seconds())
}

const (
	// scratchPool is a pool that lies in memory, of scratchSize, with volumes that
	// may each grow to more.
	scratchPool, scratchSize = "scratch", "24m"
	scratchInside            = "/var/lib/libvirt/scratch"
	scratchWrites            = 48 // MiB
)

// layScratch makes the pool.
func layScratch(t *testing.T) {
	t.Helper()
	inHost(t, "mkdir", "-p", scratchInside)
	inHost(t, "mount", "-t", "tmpfs", "-o", "size="+scratchSize, "tmpfs", scratchInside)
	_, err := env.Virsh("pool-create-as", scratchPool, "dir", "--target", scratchInside)
	must(t, err)
}

// createWithScratchDisk makes a VM with a second disk.
func createWithScratchDisk(t *testing.T, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	volume := live.Namespace + "." + name + ".qcow2"
	_, err := env.Virsh("vol-create-as", scratchPool, volume, "64M", "--format", "qcow2")
	must(t, err)
	return create(t, name, map[string]any{
		"device": "disk",
		"driver": map[string]any{"name": "qemu", "type": "qcow2"},
		"source": map[string]any{"volume": map[string]any{"pool": scratchPool, "volume": volume}},
		"target": map[string]any{"dev": "vdb", "bus": "virtio"},
	})
}
