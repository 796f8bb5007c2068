package executor

import (
	"context"
	"errors"
	"fmt"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/hotplug"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

// compareDisks says in the situation how the disks of a guest that runs are to
// change, and which of the VM's disks nobody uses.
func (a *Agent) compareDisks(ctx context.Context, w *work, vm *v1alpha1.VirtualMachine, in *plan.Situation) error {
	d := in.Domain
	if held, known := heldBy(d); known {
		in.Idle = a.volumes.Idle(ctx, vm, held)
	}
	if plan.ComparesDisks(vm, d) {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		gate, err := a.volumes.Gate(ctx, vm)
		if err != nil {
			return err
		}
		compared := hotplug.Compare(wantedDisks(vm, gate), hotplug.Guest{Disks: d.Disks, Sockets: d.Sockets})
		if !plan.RecordsDisks(vm, d) {
			compared.Restart = nil // it was started with all that a start gives
		}
		in.Plug = &compared
	}
	keys, waits := plan.KeysOf(in.Plug)
	w.memory.Plugging.See(keys, waits, in.Now)
	return nil
}

// heldBy are the volumes that the domain's guest has, running or saved; false where
// that is not known, since a disk of ours is an overlay of something.
func heldBy(d *ownership.Observed) ([]libvirt.VolumeRef, bool) {
	if d == nil || !d.State.Active() && !d.Saved {
		return nil, true
	}
	for i := range d.Disks {
		if _, ours := convert.DiskOfAlias(d.Disks[i].Alias); ours && d.Disks[i].Volume.Name == "" && !d.Disks[i].Empty {
			return nil, false
		}
	}
	return d.Volumes, true
}

func wantedDisks(vm *v1alpha1.VirtualMachine, gate volumes.Gate) hotplug.Wanted {
	return hotplug.Wanted{Namespace: vm.Namespace, Disks: vm.Spec.Disks, Volumes: gate.Volumes, Waits: gate.Why, Elsewhere: gate.Hosts}
}

// plugStep carries out the change of disks that is due. One that fails is tried
// again with back-off.
func (a *Agent) plugStep(ctx context.Context, w *work, in *plan.Situation) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	change, _ := plan.DueChange(*in)
	if change == nil {
		return nil
	}
	err := a.change(ctx, in, *change)
	switch {
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrNotFound):
		return err
	case err == nil && change.Action == hotplug.Detach:
		w.memory.Plugging.Asked(plan.KeyOf(*change), in.Now)
	case err == nil:
		a.tell.plugged(in.VM, *change)
	default:
		f, unsupported := plugFailure(*change, err, in.VM)
		w.memory.Plugging.Failed(plan.KeyOf(*change), in.Now, f, unsupported)
		a.tell.plugFailed(in.VM, f)
	}
	in.Domain, err = a.look(ctx, in.VM.DomainUUID())
	return err
}

// plugFailure is what to say of a change that failed; true where only a start will
// do.
func plugFailure(c hotplug.Change, err error, vm *v1alpha1.VirtualMachine) (plan.Failure, bool) {
	cause := plan.CauseOf(err, vm)
	switch {
	case errors.Is(err, libvirt.ErrTrayLocked):
		return plan.Failure{Reason: v1alpha1.ReasonWaitingForGuest, Message: fmt.Sprintf("the guest has locked the tray of %s: unmount what is in it there, or set forceEject", c.Name)}, false
	case errors.Is(err, libvirt.ErrUnsupported):
		return plan.Failure{Reason: v1alpha1.ReasonHotPlugFailed, Message: cause}, true
	case errors.Is(err, errNotTheDisk):
		return plan.Failure{Reason: v1alpha1.ReasonWaitingForDisks, Message: cause}, false
	}
	return plan.Failure{Reason: v1alpha1.ReasonHotPlugFailed, Message: fmt.Sprintf("%s of %s failed and is tried again: %s", plugWords[c.Action], plan.DiskWords(c), cause)}, false
}

var plugWords = map[hotplug.Action]string{hotplug.Attach: "plugging in", hotplug.Detach: "unplugging", hotplug.ChangeMedium: "changing the medium"}

// errNotTheDisk says that a disk has turned out not to be the VM's, or not ready.
var errNotTheDisk = errors.New("the disk cannot be had")

// change makes one change of the guest's disks. What is plugged in is looked up
// once more, by the API server's word: a watch may not have heard that it has
// become another's.
func (a *Agent) change(ctx context.Context, in *plan.Situation, c hotplug.Change) error {
	uuid := in.VM.DomainUUID()
	if c.Action == hotplug.Detach {
		return a.host.DetachDisk(ctx, uuid, convert.DiskAlias(c.Name))
	}
	if c.DiskName != "" {
		why, err := a.volumes.Confirm(ctx, in.VM, c.DiskName)
		switch {
		case err != nil:
			return err
		case why != "":
			return fmt.Errorf("%w: %s", errNotTheDisk, why)
		}
	}
	target := c.Target
	if c.Action == hotplug.Attach {
		taken := map[string]bool{}
		for _, d := range in.Domain.Disks {
			taken[d.Target] = true
		}
		target = convert.DiskTarget(c.Entry, taken)
	}
	doc, err := convert.DiskXML(c.Entry, c.Volume, target, capacity.PluggedTables(&in.VM.Spec, in.VM.Status.Placement.Granted))
	if err != nil {
		return err
	}
	if c.Action == hotplug.Attach {
		return a.host.AttachDisk(ctx, uuid, convert.DiskAlias(c.Name), doc)
	}
	return a.host.ChangeMedium(ctx, uuid, doc, c.Entry.ForceEject)
}

// takeDisks has the domain's definition and its mark say that the guest has the
// disks of the spec: as if it had been started with them.
func (a *Agent) takeDisks(ctx context.Context, in *plan.Situation) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	vm, d := in.VM, in.Domain
	if err := a.host.ForgetDisks(ctx, d.UUID, convert.DiskAlias("")); err != nil {
		return err
	}
	mark := d.Ownership
	mark.Spec = mark.Spec.WithDisks(vm.Spec.Disks)
	if changed, known := mark.Spec.Changed(&vm.Spec); known && len(changed) == 0 {
		mark.Generation = vm.Generation
	}
	if err := a.host.SetMetadata(ctx, d.UUID, mark.Element(), convert.OwnershipPrefix, convert.OwnershipNamespace); err != nil {
		return err
	}
	var err error
	in.Domain, err = a.look(ctx, d.UUID)
	return err
}

// giveDisksBack takes the VM's claims from disks that it has no more.
func (a *Agent) giveDisksBack(ctx context.Context, in *plan.Situation) error {
	for _, d := range in.Idle {
		if err := a.volumes.GiveBack(ctx, d); err != nil && !errors.Is(err, diskstatus.ErrStale) {
			return err
		}
		a.tell.gaveBack(in.VM, d.Name)
	}
	return nil
}
