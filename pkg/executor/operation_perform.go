package executor

import (
	"context"
	"errors"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// performTimeout bounds what is asked of QEMU or the guest's agent: one that
	// hangs never answers. libvirt itself waits 30 s for what else is being done to
	// a guest.
	performTimeout = 45 * time.Second
	// measurePause is what lies between the two readings of a measurement.
	measurePause = time.Second
	// busyPause is how often a guest is asked of which something else is being
	// asked.
	busyPause = time.Second
	// defaultHold is the default of spec.sendKey.holdMilliseconds.
	defaultHold = 100 * time.Millisecond
)

// perform does what is done beside the VM's turns. An error means that nothing
// was done: try again.
func (a *Agent) perform(ctx context.Context, op *v1alpha1.VirtualMachineOperation, vm *v1alpha1.VirtualMachine) (plan.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, min(performTimeout, plan.OperationLimit(op).Sub(a.clock.Now())))
	defer cancel()
	d, err := a.look(ctx, vm.DomainUUID())
	if err != nil {
		return plan.Outcome{}, err
	}
	if o := unready(op, vm, d, a.config.NodeName, a.clusterID); o != nil {
		return *o, nil
	}
	for {
		o, err := a.ask(ctx, op, vm.DomainUUID())
		if errors.Is(err, libvirt.ErrBusy) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-a.clock.After(busyPause):
				continue
			}
		}
		if err != nil {
			return plan.OutcomeOf(op, err)
		}
		return o, nil
	}
}

// unready says why nothing can be asked of the guest; nil when it can.
func unready(op *v1alpha1.VirtualMachineOperation, vm *v1alpha1.VirtualMachine, d *ownership.Observed, node, cluster string) *plan.Outcome {
	var o plan.Outcome
	switch {
	case d == nil:
		o = plan.Failed(v1alpha1.ReasonWrongState, "there is no guest on %s: set spec.powerState to Running", node)
	case plan.Strange(plan.Situation{Node: node, ClusterID: cluster, VM: vm, Domain: d}) != "" || d.Ownership.Owner.Epoch != vm.Status.Epoch:
		o = plan.Failed(v1alpha1.ReasonWrongState, "the domain on %s is not the VirtualMachine's present one", node)
	case !d.State.Active():
		o = plan.Failed(v1alpha1.ReasonWrongState, "the guest does not run (%s): start it with spec.powerState Running or an operation of type Restart", d.Reason)
	case d.State != libvirt.StateRunning && needsRunning[op.Spec.Type]:
		o = plan.Failed(v1alpha1.ReasonWrongState, "the guest is %s and hears nothing", d.State)
	default:
		return nil
	}
	return &o
}

// needsRunning are the operations that a guest has to hear of.
var needsRunning = map[v1alpha1.OperationType]bool{
	v1alpha1.OperationSendKey: true, v1alpha1.OperationSetPassword: true, v1alpha1.OperationInjectSSHKey: true,
}

// ask has libvirt do it.
func (a *Agent) ask(ctx context.Context, op *v1alpha1.VirtualMachineOperation, uuid string) (plan.Outcome, error) {
	switch op.Spec.Type {
	case v1alpha1.OperationReset:
		return plan.Succeeded("the guest was reset and boots anew"), a.host.Reset(ctx, uuid)
	case v1alpha1.OperationSendKey:
		hold := defaultHold
		if ms := op.Spec.SendKey.HoldMilliseconds; ms != nil {
			hold = time.Duration(*ms) * time.Millisecond
		}
		return plan.Succeeded("the keys were pressed together for %s", hold), a.host.SendKey(ctx, uuid, op.Spec.SendKey.Keys, hold)
	case v1alpha1.OperationSetPassword:
		p := op.Spec.SetPassword
		return plan.Succeeded("the password of user %s was set", p.User), a.host.SetPassword(ctx, uuid, p.User, p.Hash)
	case v1alpha1.OperationInjectSSHKey:
		k := op.Spec.InjectSSHKey
		return plan.Succeeded("the keys are among those that user %s is let in with", k.User), a.host.AuthorizeKeys(ctx, uuid, k.User, k.AuthorizedKeys)
	case v1alpha1.OperationScreenshot:
		return a.screenshot(ctx, uuid)
	case v1alpha1.OperationMeasure:
		return a.measure(ctx, uuid)
	}
	return plan.Outcome{}, errors.New("there is no such operation")
}

func (a *Agent) screenshot(ctx context.Context, uuid string) (plan.Outcome, error) {
	picture, err := a.host.Screenshot(ctx, uuid)
	if err != nil {
		return plan.Outcome{}, err
	}
	shot, err := develop(picture, maxScreenshot)
	if err != nil {
		return plan.Failed(v1alpha1.ReasonOperationRefused, "the picture that libvirt gave cannot be read: %v", err), nil
	}
	o := plan.Succeeded("a picture of %d by %d pixels is in status.screenshot", shot.Width, shot.Height)
	o.Screenshot = shot
	return o, nil
}

func (a *Agent) measure(ctx context.Context, uuid string) (plan.Outcome, error) {
	before, err := a.host.Counters(ctx, uuid)
	if err != nil {
		return plan.Outcome{}, err
	}
	began := a.clock.Now()
	select {
	case <-ctx.Done():
		return plan.Outcome{}, libvirt.ErrTimeout
	case <-a.clock.After(measurePause):
	}
	after, err := a.host.Counters(ctx, uuid)
	if err != nil {
		return plan.Outcome{}, err
	}
	o := plan.Succeeded("what the guest used in %s is in status.usage", measurePause)
	o.Usage = usageBetween(before, after, a.clock.Since(began))
	return o, nil
}

// usageBetween is what was used between two readings.
func usageBetween(before, after libvirt.Counters, elapsed time.Duration) *v1alpha1.Usage {
	rate := func(from, to int64) int64 {
		// A guest that was started anew in between counts from 0 again.
		return int64(float64(max(to-from, 0)) / elapsed.Seconds())
	}
	return &v1alpha1.Usage{
		CPUMillis: rate(before.CPU.Milliseconds(), after.CPU.Milliseconds()),
		Memory:    after.Resident, GuestMemoryUsed: after.GuestUsed,
		BlockRead: rate(before.BlockRead, after.BlockRead), BlockWritten: rate(before.BlockWritten, after.BlockWritten),
		NetReceived: rate(before.NetReceived, after.NetReceived), NetSent: rate(before.NetSent, after.NetSent),
	}
}
