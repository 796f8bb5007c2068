package plan

import (
	"slices"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
)

// Settle is when to look again at a guest that is between two states.
const Settle = 2 * time.Second

// Decide decides what to do next. It is pure. Its rules, the first that applies:
//
//   - A domain that is not provably this VM's binding is left alone. Whether
//     it is put into quarantine is decided in the turn of the VM its mark names.
//   - A domain of a binding that has ended is stopped at once and removed.
//   - A VM that is not bound here is not ours to act on.
//   - A restore to a snapshot is brought to its end, once it has begun.
//   - An operation that is asked of it is carried out.
//   - A VM that is deleted or evicted is stopped gracefully and its domain
//     removed.
//   - A binding that was rejected or given up stays so until the epoch grows.
//   - Otherwise the guest follows spec.powerState and, when it has ended by
//     itself, spec.runPolicy.
func Decide(in Situation) Decision {
	vm, d := in.VM, in.Domain
	if d != nil {
		if why := Strange(in); why != "" {
			decision := besideStrange(in)
			if d.JudgedBy(vm) {
				decision.Quarantine = why
			}
			return decision
		}
	}
	if vm == nil {
		return Decision{}
	}
	here := vm.PlacedOn(in.Node)
	if d != nil && d.Ownership.Owner.Epoch < vm.Status.Epoch {
		// The binding ended without our confirmation: another host may run the
		// guest already, so there is no time for grace.
		return Decision{Steps: remove(d), Again: here}
	}
	if !here {
		return Decision{}
	}
	host := HostStatus(vm)
	if decision, decided := planRestore(in, host); decided {
		return decision
	}
	if decision, decided := planOperation(in, host); decided {
		return decision
	}
	switch {
	case vm.DeletionTimestamp != nil:
		if d != nil {
			return stop(in, true)
		}
		if slices.Contains(vm.Finalizers, v1alpha1.DomainFinalizer) {
			return Decision{Steps: []Step{StepRemoveFinalizer}}
		}
		return Decision{}
	case Ended(host):
		if d != nil {
			return Decision{Steps: remove(d)}
		}
		return Decision{}
	case vm.Status.Eviction != nil:
		if d != nil {
			return stop(in, true)
		}
		return Decision{Report: &Report{
			State: v1alpha1.HostGone, Reason: v1alpha1.ReasonEvicted, Message: vm.Status.Eviction.Message,
		}}
	}
	return giveBack(in, follow(in, host))
}

// follow has the guest be in the state that the spec says.
func follow(in Situation, host *v1alpha1.HostStatus) Decision {
	switch in.VM.Spec.PowerState {
	case v1alpha1.PowerStopped:
		return off(in)
	case v1alpha1.PowerPaused:
		return pause(in, host)
	case v1alpha1.PowerSuspended:
		return suspend(in, host)
	}
	return run(in, host)
}

// Strange says why a domain is not provably the binding of the VM, now or in
// the past; "" when it is.
func Strange(in Situation) string {
	vm, d := in.VM, in.Domain
	owner := d.Ownership.Owner
	switch {
	case !d.Owned:
		return "it does not carry the mark of a VirtualMachine"
	case d.Ownership.ClusterID != in.ClusterID:
		return "it belongs to a VirtualMachine of another cluster"
	case vm == nil:
		return "its VirtualMachine does not exist any more"
	case owner.UID != vm.UID:
		return "its VirtualMachine was deleted, and another one created with the same name"
	case owner.Namespace != vm.Namespace || owner.Name != vm.Name || d.UUID != vm.DomainUUID():
		return "its UUID and its mark do not belong together"
	case owner.Epoch > vm.Status.Epoch:
		return "its VirtualMachine is at an earlier epoch: the API server's data may have been restored from a backup"
	case owner.Epoch == vm.Status.Epoch && !vm.PlacedOn(in.Node):
		return "its VirtualMachine is at the same epoch and not bound to this host"
	}
	return ""
}

// besideStrange decides about a VM whose UUID is taken by a domain that is not
// its own: another host may take it.
func besideStrange(in Situation) Decision {
	vm := in.VM
	if vm == nil || !vm.PlacedOn(in.Node) || vm.DomainUUID() != in.Domain.UUID {
		return Decision{}
	}
	without := in
	without.Domain = nil
	decision := Decide(without)
	if slices.Contains(decision.Steps, StepDefine) {
		return Decision{Report: &Report{
			State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
			// It may be another namespace's: nothing more is said of it.
			Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
		}}
	}
	return decision
}

// HostStatus is what was reported of the VM's current binding, if anything.
func HostStatus(vm *v1alpha1.VirtualMachine) *v1alpha1.HostStatus {
	if h := vm.Status.Host; h != nil && h.Epoch == vm.Status.Epoch {
		return h
	}
	return nil
}

// Ended says whether the binding was reported to be over.
func Ended(host *v1alpha1.HostStatus) bool {
	return host != nil && (host.State == v1alpha1.HostRejected || host.State == v1alpha1.HostGone)
}

func remove(d *ownership.Observed) []Step {
	if d.State.Active() {
		return []Step{StepDestroy, StepUndefine}
	}
	return []Step{StepUndefine}
}
