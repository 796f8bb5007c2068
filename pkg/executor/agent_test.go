package executor

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// eventually waits for what comes by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not happen: %s", what)
}

// runOn runs a real agent with a real clock on host until the test ends.
func runOn(t *testing.T, s *stage, host libvirt.Host) *Agent {
	t.Helper()
	agent := NewAgent(Options{
		Config: s.config, Host: host, Live: s.api, VMs: s.vms, Disks: cacheOf{s.api}, Networks: cacheOf{s.api}, Recorder: events.NewFakeRecorder(1000), Clock: clock.RealClock{},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { agent.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return agent
}

// The agent on libvirt's own test driver: libvirt itself defines, starts, stops
// and undefines, and its events drive the agent.
func TestAVMLivesAndDiesOnASimulatedHost(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	host, err := libvirt.Simulate(t.TempDir(), vmtest.Node, libvirt.Simulation{CPUs: 8, Memory: 16 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	agent := runOn(t, s, host)
	// The fake client has no watch here: the listing at the start finds the VM.
	state := func(want v1alpha1.HostState) func() bool {
		return func() bool { vm := s.vm(); return vm.Status.Host != nil && vm.Status.Host.State == want }
	}
	eventually(t, "the guest runs", state(v1alpha1.HostRunning))
	eventually(t, "the host is reported", func() bool {
		node := &corev1.Node{}
		return s.api.Get(context.Background(), client.ObjectKey{Name: vmtest.Node}, node) == nil && !node.Status.Allocatable.Name(v1alpha1.ResourceCPU, resource.DecimalSI).IsZero()
	})

	// Somebody switches the guest off behind our back: libvirt's event alone
	// brings it back.
	if err := host.Destroy(context.Background(), vmtest.UID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end is noticed", state(v1alpha1.HostFailed))
	eventually(t, "the guest runs again", state(v1alpha1.HostRunning))

	s.edit(vmtest.Switched)
	agent.Enqueue(guestKey)
	eventually(t, "the guest is switched off", state(v1alpha1.HostStopped))

	if err := s.api.Delete(context.Background(), s.vm()); err != nil {
		t.Fatal(err)
	}
	agent.Enqueue(guestKey)
	eventually(t, "the VM is gone", func() bool { return s.vm() == nil })
	if all, err := host.Domains(context.Background()); err != nil || len(all) != 0 {
		t.Errorf("left on the host: %v, %v", all, err)
	}
}

// stuckHost never answers about starting one domain.
type stuckHost struct {
	*fakeHost
	stuck string
}

func (h stuckHost) Start(ctx context.Context, uuid string) error {
	if uuid == h.stuck {
		<-ctx.Done()
		return libvirt.ErrTimeout
	}
	return h.fakeHost.Start(ctx, uuid)
}

func TestAStuckDomainDelaysNoOther(t *testing.T) {
	other := vmtest.Bound(func(vm *v1alpha1.VirtualMachine) {
		vm.Name, vm.UID = "other", "33333333-3333-4333-8333-333333333333"
	})
	s := newStage(t, vmtest.Bound(), other)
	s.host.events <- libvirt.Event{Kind: libvirt.EventConnected}
	runOn(t, s, stuckHost{fakeHost: s.host, stuck: vmtest.UID})
	eventually(t, "the other guest runs", func() bool {
		vm := &v1alpha1.VirtualMachine{}
		return s.api.Get(context.Background(), client.ObjectKeyFromObject(other), vm) == nil && vm.Status.Host != nil && vm.Status.Host.State == v1alpha1.HostRunning
	})
	close(s.host.events)
}

func TestALostLibvirtIsToldAndForgiven(t *testing.T) {
	s := newStage(t)
	s.host.events <- libvirt.Event{Kind: libvirt.EventConnected}
	runOn(t, s, s.host)
	tainted := func() bool {
		node := &corev1.Node{}
		if s.api.Get(context.Background(), client.ObjectKey{Name: vmtest.Node}, node) != nil {
			return false
		}
		for _, taint := range node.Spec.Taints {
			if taint.Key == v1alpha1.LibvirtUnavailableTaint {
				return true
			}
		}
		return false
	}
	eventually(t, "the Node is there", func() bool {
		return s.api.Get(context.Background(), client.ObjectKey{Name: vmtest.Node}, &corev1.Node{}) == nil
	})
	s.host.events <- libvirt.Event{Kind: libvirt.EventLost}
	eventually(t, "the Node is tainted", tainted)
	s.host.events <- libvirt.Event{Kind: libvirt.EventConnected}
	eventually(t, "the taint is gone", func() bool { return !tainted() })
	close(s.host.events)
}
