package podless

import "errors"

var (
	// ErrRealPod says that the scheduler tried to write on a Pod that is not a projected VM.
	ErrRealPod = errors.New("vm-scheduler never writes on pods")

	// ErrUnsupportedWrite says that the scheduler tried a write that has no meaning for a VM.
	ErrUnsupportedWrite = errors.New("this write on a projected VM is not supported")
)

// ErrVictimGone has a preemption tried again whose victim has left by itself.
// kube-scheduler takes NotFound for success and waits for the victim's deletion
// to wake the VM; but that may have been seen before it was waiting, when the VM
// could not be woken yet.
var ErrVictimGone = errors.New("the VirtualMachine to evict has left by itself")
