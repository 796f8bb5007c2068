package plan

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// balloonGlance is how long a report waits for the balloon to move: a guest
	// that is given memory mostly has it at once.
	balloonGlance = 5 * time.Second
	// balloonRest is after which time a balloon that has not come to where it was
	// told to is taken to stay where it is, and that is reported.
	balloonRest = 20 * time.Second
	// BalloonPatience is after which time a balloon that is elsewhere is said to stay
	// there: a guest that boots has no driver for it yet.
	BalloonPatience = 2 * time.Minute
	// A balloon that is elsewhere is told again after firstBalloon, doubling up to
	// LastBalloon: its guest may have no driver for it.
	firstBalloon = time.Minute
	// LastBalloon is the longest time until it is told again.
	LastBalloon = 30 * time.Minute
)

// Balloon is what a guest's balloon was last told: how many bytes to leave the
// guest. Since is when it was told so first, and AskedAt when last, for the
// Asked-th time. SaidAt is when memory that was not that was last reported.
type Balloon struct {
	Target                 int64
	Since, AskedAt, SaidAt time.Time
	Asked                  int
}

// Growable says whether a guest of the placement may come to have another size
// than it was started with.
func Growable(p *v1alpha1.Placement) bool {
	return p != nil && (p.Granted.MaxCPU > 0 || p.Granted.MaxMemory > 0)
}

// resize brings a guest that runs to the size that is granted; nil when it has
// it, as far as that depends on us. First the domain's mark takes the grant over,
// by which the host accounts, or the host refuses it; what is more then is given,
// vCPUs and after them memory. Memory that the VM does not want any more is taken
// before that: the grant follows when the guest has given it back.
func resize(in Situation, host *v1alpha1.HostStatus) *Decision {
	if !resizable(in) {
		return nil
	}
	step := Step("")
	d := in.Domain
	switch {
	case standing(in) != nil:
		return nil // the grant is to be taken back
	case Due(in) != d.Ownership.Granted.Size():
		step = StepTakeGrant
	case d.VCPUs < int64(d.Ownership.Granted.CPU):
		step = StepPlugCPUs
	case balloonDue(in):
		step = StepSetMemory
	}
	if step != "" {
		decision := attempt(in, step, &Report{State: v1alpha1.HostRunning})
		return &decision
	}
	if b := in.Memory.Balloon; !ballooned(in) && in.Now.Sub(b.AskedAt) < balloonGlance && host != nil && host.State == v1alpha1.HostRunning {
		return &Decision{RequeueAfter: time.Second}
	}
	return nil
}

// resizable says whether the domain is a guest of the VM's binding that may
// change its size.
func resizable(in Situation) bool {
	d := in.Domain
	return Growable(in.VM.Status.Placement) && d != nil && d.Owned && d.State.Active() && d.Ownership.Owner == in.VM.Owner()
}

// Due is the size that the domain's mark is to say: what is granted, but of vCPUs
// never fewer than the guest has, since none are taken from it.
func Due(in Situation) v1alpha1.GuestSize {
	size, mark := in.VM.Status.Placement.Granted.Size(), in.Domain.Ownership.Granted.Size()
	size.CPU = max(size.CPU, min(mark.CPU, int32(in.Domain.VCPUs)))
	return size
}

// standing is the refusal of what is granted now, of this process or reported
// before; nil when there is none.
func standing(in Situation) *v1alpha1.GrowthRefusal {
	p := in.VM.Status.Placement
	refused := in.Memory.Refused
	if before := HostStatus(in.VM); refused == nil && before != nil {
		refused = before.Refused
	}
	if refused == nil || p == nil || refused.Granted != p.Granted.Size() {
		return nil
	}
	return refused
}

// Leave is how much memory the balloon is to leave the guest, in bytes; 0 where
// there is none to be told.
func Leave(in Situation) int64 {
	p := in.VM.Status.Placement
	if p.Granted.MaxMemory == 0 {
		return 0
	}
	wanted := capacity.Shrunk(p, capacity.Desired(&in.VM.Spec)).Memory
	bytes := min(wanted, in.Domain.Ownership.Granted.Memory)
	return (bytes + 1023) &^ 1023
}

// ballooned says whether the guest has as much memory as its balloon is to leave
// it.
func ballooned(in Situation) bool {
	target := Leave(in)
	return target == 0 || in.Domain.CurrentMemory == target
}

// balloonDue says whether the balloon is to be told now.
func balloonDue(in Situation) bool {
	b := in.Memory.Balloon
	return !ballooned(in) && (b.Target != Leave(in) || !in.Now.Before(b.AskedAt.Add(b.wait())))
}

// wait is how long the balloon is given before it is told again.
func (b Balloon) wait() time.Duration {
	return min(firstBalloon<<min(max(b.Asked-1, 0), 10), LastBalloon)
}

// Told notes that the balloon is told to leave so much.
func (b *Balloon) Told(target int64, now time.Time) {
	if b.Target != target {
		*b = Balloon{Target: target, Since: now, SaidAt: b.SaidAt}
	}
	b.AskedAt = now
	b.Asked++
}

// balloonLook is when to look again at a balloon that is on its way; 0 for never.
func balloonLook(in Situation) time.Duration {
	if !resizable(in) || ballooned(in) {
		return 0
	}
	b := in.Memory.Balloon
	next := b.AskedAt.Add(b.wait()).Sub(in.Now)
	for _, due := range []time.Duration{BalloonPatience, balloonRest} {
		if left := b.Since.Add(due).Sub(in.Now); left > 0 {
			next = min(next, left)
		}
	}
	return max(next, Settle)
}

// missed is how much memory, in bytes, the balloon was told to leave a guest that has
// had something else for longer than BalloonPatience; 0 when it has not. What was
// said before stays said, though this process has told the balloon just now.
func missed(in Situation, before *v1alpha1.HostStatus) int64 {
	if !resizable(in) || ballooned(in) {
		return 0
	}
	target, b := Leave(in), in.Memory.Balloon
	said := before != nil && before.MemoryTarget == target
	runs := in.Domain.State == libvirt.StateRunning
	if said || runs && b.Target == target && in.Now.Sub(b.Since) >= BalloonPatience {
		return target
	}
	return 0
}

// sizeNow is what to report of the guest's size: nothing of one that has none of
// its own. Memory is told when the balloon is where it is to be, or has rested
// elsewhere, and then once a minute at most.
func sizeNow(in Situation, before *v1alpha1.HostStatus) (now v1alpha1.GuestSize) {
	if !resizable(in) {
		return now
	}
	p, b := in.VM.Status.Placement, in.Memory.Balloon
	if p.Granted.MaxCPU > 0 {
		now.CPU = int32(in.Domain.VCPUs)
	}
	if p.Granted.MaxMemory == 0 {
		return now
	}
	if before != nil {
		now.Memory = before.Memory
	}
	rested := b.Target == Leave(in) && in.Now.Sub(b.Since) >= balloonRest && in.Now.Sub(b.SaidAt) >= time.Minute
	if ballooned(in) || rested {
		now.Memory = in.Domain.CurrentMemory
	}
	return now
}
