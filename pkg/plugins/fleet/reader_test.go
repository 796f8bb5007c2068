package fleet

import (
	"testing"

	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// The scheduler and a Reader look at snapshots of different moments: in the one
// a VM is on its way to a host, and in the other its Pod says where it lies.
func TestAReaderChangesNothing(t *testing.T) {
	hypervisors := &informer{}
	f, cs := newFleet(t, hypervisors), framework.NewCycleState()
	reader := f.Reader()
	hypervisors.handler.OnAdd(hypervisor(1), false)
	pod := vm("one", nil)
	if short := f.Reserve(pod, request(t, pod), nodeInfo(4, 4*gib)); short != nil {
		t.Fatal(short)
	}
	before, after := nodeInfo(4, 4*gib, pod), nodeInfo(4, 4*gib, vm("one", pinned("0")))
	taken := func(f *Fleet, node fwk.NodeInfo, want string) {
		t.Helper()
		usage, ok := f.Usage(cs, node)
		if !ok {
			t.Fatal("there is no account")
		}
		if got := usage.Taken(0).String(); got != want {
			t.Errorf("CPUs %q are taken, want %q", got, want)
		}
	}
	taken(reader, after, "0")
	if f.Reserved(pod) == nil {
		t.Error("a Reader that saw the VM's placement ended its reservation")
	}
	taken(f, before, "0")
	account, _ := f.Usage(cs, before)
	taken(reader, before, "0")
	taken(reader, after, "0")
	if again, _ := f.Usage(cs, before); again != account {
		t.Error("a Reader's account pushed out that of the scheduler")
	}
	taken(f, after, "0")
	if f.Reserved(pod) != nil {
		t.Error("the VM's Pod says its placement, and it is reserved still")
	}
	taken(reader, before, "0")

	hypervisors.handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "a"})
	if _, kept := reader.accounts.Load("a"); kept {
		t.Error("a Reader keeps the account of a host that is gone")
	}
}
