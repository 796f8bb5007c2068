package podless

import "errors"

var (
	// ErrRealPod says that the scheduler tried to write on a Pod that is not a projected VM.
	ErrRealPod = errors.New("vm-scheduler never writes on pods")

	// ErrUnsupportedWrite says that the scheduler tried a write that has no meaning for a VM.
	ErrUnsupportedWrite = errors.New("this write on a projected VM is not supported")
)
