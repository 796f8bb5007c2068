package networks

import (
	"fmt"
	"slices"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// lookAgain is when something is looked at again that another's doing mends, and
	// of which nothing may be heard.
	lookAgain = time.Minute
	// A step that failed is taken again after firstBackoff, doubling up to
	// lastBackoff.
	firstBackoff = time.Second
	lastBackoff  = 2 * time.Minute
)

// Plan decides what to do next. It is pure. Its rules, the first that applies:
//
//   - A network that nobody on the host needs is removed.
//   - One that a guest has a card on is never stopped: what cannot be changed under
//     it is changed when the guest has gone.
//   - One whose VirtualNetwork is gone, or is to be, is made for nobody any more.
//   - Nothing is made before the finalizer is stored.
//   - Otherwise it is defined as is wanted, and active.
func Plan(in Situation) Decision {
	if len(in.Users) == 0 {
		return remove(in)
	}
	guest := slices.IndexFunc(in.Users, func(u User) bool { return u.Guest })
	active := in.Found != nil && in.Found.Active
	n := in.Network
	switch {
	case n == nil:
		if guest < 0 {
			return remove(in)
		}
		return Decision{Active: active, RequeueAfter: lookAgain,
			Message: fmt.Sprintf("its VirtualNetwork is gone; it is kept until %s has no card on it", in.Users[guest].VM)}
	case n.DeletionTimestamp != nil && guest < 0:
		decision := remove(in)
		decision.Message = "the VirtualNetwork is being deleted: leave it out of spec.interfaces, or create another one when it is gone"
		return decision
	case n.DeletionTimestamp != nil:
		return Decision{Active: active, RequeueAfter: lookAgain, Message: fmt.Sprintf("it is being deleted; it is kept until %s has no card on it", in.Users[guest].VM)}
	case !slices.Contains(n.Finalizers, v1alpha1.NetworkFinalizer):
		return Decision{Active: active, RequeueAfter: lookAgain, Message: "vm-scheduler has not taken it up yet: see whether that runs"}
	case in.Refused != "":
		return Decision{Active: active, RequeueAfter: lookAgain, Message: in.Refused}
	case in.Lacks != "":
		return Decision{Active: active && guest >= 0, RequeueAfter: lookAgain, Message: in.Lacks, Unfit: true}
	}
	if wait := in.wait(); wait > 0 {
		return Decision{Active: active, RequeueAfter: wait, Message: in.Memory.Message, Unfit: in.Memory.Unfit && !active}
	}
	print := in.Want.Mark.Print
	switch {
	case in.Found == nil:
		return Decision{Steps: []Step{StepDefine, StepStart}, Again: true}
	case in.Found.Defined != print:
		return Decision{Active: active, Steps: []Step{StepDefine}, Again: true}
	case !in.Found.Active:
		return Decision{Steps: []Step{StepStart}, Again: true}
	case in.Found.Mark.Print != print && guest < 0:
		return Decision{Active: true, Steps: []Step{StepStop, StepStart}, Again: true}
	case in.Found.Mark.Print != print:
		return Decision{Active: true, RequeueAfter: lookAgain,
			Message: fmt.Sprintf("it has an earlier spec: it is changed when no guest has a card on it; %s has one", in.Users[guest].VM)}
	case !slices.Equal(in.Found.Hosts, in.Want.Hosts):
		return Decision{Active: true, Steps: []Step{StepSetHosts}, Again: true}
	}
	return Decision{Active: true}
}

// remove ends a network that nobody needs.
func remove(in Situation) Decision {
	switch {
	case in.Found == nil:
		return Decision{}
	case in.wait() > 0:
		return Decision{Active: in.Found.Active, RequeueAfter: in.wait(), Message: in.Memory.Message}
	}
	return Decision{Steps: []Step{StepStop, StepUndefine}, Again: true}
}

// aim names what is to become of the network.
func (in *Situation) aim() string {
	if len(in.Users) == 0 || in.Network == nil || in.Network.DeletionTimestamp != nil || in.Want == nil {
		return "removal"
	}
	return fmt.Sprint(in.Want.Mark.Print, in.Want.Hosts)
}

// wait is how long until a step that failed is taken again. What was edited since, or
// is to go now, is not waited with.
func (in *Situation) wait() time.Duration {
	if in.Memory.Aim != in.aim() {
		return 0
	}
	return in.Memory.RetryAt.Sub(in.Now)
}

// note remembers a failure on the way to the aim, and when to try again.
func (m *Memory) note(aim, message string, unfit bool, now time.Time) {
	if m.Aim != aim {
		*m = Memory{Aim: aim}
	}
	wait := firstBackoff << min(m.Failures, 10)
	m.Failures++
	m.RetryAt, m.Message, m.Unfit = now.Add(min(wait, lastBackoff)), message, unfit
}
