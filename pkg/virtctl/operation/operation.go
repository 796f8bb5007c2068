// Package operation has things done to guests by VirtualMachineOperations: it
// creates them, follows them to their end, and says what came of them.
package operation

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

const (
	// requestLabel is on all operations of one command, by which it watches them.
	requestLabel = "domus.dev/virtctl-request"
	// atOnce bounds how many are created in parallel.
	atOnce = 16
	// maxTimeout is the API's bound on timeoutSeconds.
	maxTimeout = 24 * time.Hour
)

// Short is how long operations are kept whose result has been read: they hold a
// picture, a password's hash, or are many.
const Short = time.Minute

// Request is what one command has done to one VM or to several.
type Request struct {
	id      string
	spec    v1alpha1.VirtualMachineOperationSpec
	timeout time.Duration
	// hurried operations are not waited for where their host cannot be reached.
	hurried bool
}

// Hurry has the request not wait for operations whose host cannot be reached: they
// stay until their time limit, and count as failed.
func (r *Request) Hurry() { r.hurried = true }

// CheckTimeout refuses a time limit that an operation cannot have.
func CheckTimeout(timeout time.Duration) error {
	if timeout < time.Second || timeout > maxTimeout {
		return failure.Usage("--timeout=%s: must be from 1s to %s", timeout, maxTimeout)
	}
	return nil
}

// NewRequest returns a request for spec, in which the VM is filled in for each.
// timeout is how long each may take; it is a usage error when the API would not
// have it. keep is how long the objects are kept when they are over, 0 as the
// API defaults.
func NewRequest(spec v1alpha1.VirtualMachineOperationSpec, timeout, keep time.Duration) (*Request, error) {
	if err := CheckTimeout(timeout); err != nil {
		return nil, err
	}
	spec.TimeoutSeconds = ptr.To(int32(math.Ceil(timeout.Seconds())))
	if keep > 0 {
		spec.TTLSecondsAfterFinished = ptr.To(int32(keep.Seconds()))
	}
	return &Request{id: uuid.NewString(), spec: spec, timeout: timeout}, nil
}

// of returns the operation on a VM.
func (r *Request) of(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachineOperation {
	op := &v1alpha1.VirtualMachineOperation{ObjectMeta: metav1.ObjectMeta{
		Namespace:    vm.Namespace,
		GenerateName: vm.Name + "-" + strings.ToLower(string(r.spec.Type)) + "-",
		Labels:       map[string]string{requestLabel: r.id},
	}}
	r.spec.DeepCopyInto(&op.Spec)
	op.Spec.VirtualMachineName = vm.Name
	return op
}

// Outcome is what came of an operation on a VM: the operation as it was seen
// last, nil when it could not be created, and why it is no success.
type Outcome struct {
	VM        *v1alpha1.VirtualMachine
	Operation *v1alpha1.VirtualMachineOperation
	Err       error
}

// Create creates an operation on each of vms, and returns them in that order.
func (r *Request) Create(ctx context.Context, c client.Client, vms []v1alpha1.VirtualMachine) []Outcome {
	outcomes := make([]Outcome, len(vms))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range vms {
		group.Go(func() error {
			op := r.of(&vms[i])
			outcomes[i] = Outcome{VM: &vms[i], Operation: op}
			if err := c.Create(ctx, op); err != nil {
				outcomes[i].Operation, outcomes[i].Err = nil, failure.API(err, "asking for %s of virtualmachine %s", r.spec.Type, vms[i].Name)
			}
			return nil
		})
	}
	_ = group.Wait() // each error is in its outcome
	return outcomes
}
