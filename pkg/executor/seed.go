package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/cloudinit"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
)

const (
	// seedLook is how often the Secrets of a running guest's seed are looked at:
	// they are read by name, for a watch of all of them would tell this host other
	// hosts' secrets.
	seedLook = time.Minute
	// grantWait is how long a start waits for vm-scheduler to let this host read a
	// Secret, and grantPoll how often it tries: that begins when the VM is bound.
	grantWait = 15 * time.Second
	grantPoll = 250 * time.Millisecond
)

// seedWork is what is remembered of a running guest's seed.
type seedWork struct {
	lookedAt time.Time
	// changed is true when the guest would be told something else now.
	changed bool
}

// seedPath is where the VM's seed is or shall be; "" when it has none.
func (a *Agent) seedPath(vm *v1alpha1.VirtualMachine) string {
	if vm.Spec.CloudInit == nil {
		return ""
	}
	return a.seeds.path(vm.UID)
}

// makeSeed makes what the VM's guest is told now; nil when it is told nothing.
func (a *Agent) makeSeed(ctx context.Context, vm *v1alpha1.VirtualMachine) (cloudinit.Seed, error) {
	if vm.Spec.CloudInit == nil {
		return nil, nil
	}
	domain, errs := convert.UserDomain(vm)
	if len(errs) > 0 {
		return nil, plan.Invalid("%v", errs.ToAggregate())
	}
	macs := cardMACs(vm)
	if domain.Devices != nil && len(domain.Devices.Interfaces) > 0 {
		if own := convert.MACs(domain); len(own) > 0 {
			macs = append(own, macs...)
		} else {
			macs = nil // those of all, or none
		}
	}
	secrets := map[string]*corev1.Secret{} // each is read once
	content, err := cloudinit.Compose(vm, cloudinit.DHCP(macs), func(e v1alpha1.SecretEntry) ([]byte, error) {
		secret := secrets[e.Name]
		if secret == nil {
			secret = &corev1.Secret{}
			if err := a.live.Get(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: e.Name}, secret); err != nil {
				return nil, fmt.Errorf("reading Secret %s: %w", e.Name, err)
			}
			secrets[e.Name] = secret
		}
		data, found := secret.Data[e.Key]
		if !found {
			return nil, cloudinit.ErrNoEntry
		}
		return data, nil
	})
	if err != nil {
		return nil, err
	}
	return content.Seed(string(vm.UID))
}

// cardMACs are the addresses of the cards of spec.interfaces: cloud-init by itself
// asks for an IP address on the first card alone.
func cardMACs(vm *v1alpha1.VirtualMachine) (macs []string) {
	for i := range vm.Spec.Interfaces {
		macs = append(macs, vm.MACOf(&vm.Spec.Interfaces[i]))
	}
	return macs
}

// storeSeed writes the seed that the guest is about to be started with, or takes
// an earlier one away. A seed that cannot be made is a failure to start, noted to
// be tried again: who can mend it need not change the VM for that.
func (a *Agent) storeSeed(w *work, vm *v1alpha1.VirtualMachine, seed cloudinit.Seed) error {
	if seed == nil {
		return a.seeds.remove(vm.UID)
	}
	w.seed = seedWork{lookedAt: a.clock.Now()}
	description, _ := a.registry.described()
	if err := a.seeds.write(vm.UID, seed, description.QEMU); err != nil {
		return a.noteSeed(w, vm, "what cloud-init is told could not be written on the host, and is tried again: "+err.Error())
	}
	return nil
}

// prepareSeed makes the seed for a start, and waits for permission if need be.
func (a *Agent) prepareSeed(ctx context.Context, w *work, vm *v1alpha1.VirtualMachine) (cloudinit.Seed, error) {
	var seed cloudinit.Seed
	var err error
	_ = wait.PollUntilContextTimeout(ctx, grantPoll, a.grantWait, true, func(ctx context.Context) (bool, error) {
		seed, err = a.makeSeed(ctx, vm)
		return !apierrors.IsForbidden(err), nil
	})
	var rejection *plan.Rejection
	var content *cloudinit.ContentError
	switch {
	case err == nil, errors.As(err, &rejection):
		return seed, err
	case errors.As(err, &content):
		return nil, a.noteSeed(w, vm, content.Error()+"; it is tried again")
	case apierrors.IsNotFound(err):
		return nil, a.noteSeed(w, vm, fmt.Sprintf("%v: create it, or name another; it is tried again", err))
	case apierrors.IsForbidden(err):
		return nil, a.noteSeed(w, vm, fmt.Sprintf("%s may not read the Secrets that spec.cloudInit names (%s), and tries again: vm-scheduler's leader lets the user domus:executor:%s of the host read them; see whether it runs, and whether the host's executor has that name",
			a.config.NodeName, strings.Join(secretNames(vm), ", "), a.config.NodeName))
	}
	return nil, err
}

func (a *Agent) noteSeed(w *work, vm *v1alpha1.VirtualMachine, why string) error {
	f := plan.Failure{Reason: v1alpha1.ReasonSeedUnavailable, Message: why}
	w.memory.Note(f, a.clock.Now())
	a.tell.failed(vm, f)
	return plan.ErrNoted
}

// secretNames lists the Secrets that the VM's seed is made of, each once.
func secretNames(vm *v1alpha1.VirtualMachine) []string {
	var out []string
	for _, e := range vm.Spec.CloudInit.Secrets() {
		if !slices.Contains(out, e.Name) {
			out = append(out, e.Name)
		}
	}
	return out
}

// seedDiffers says whether the guest that runs was told something else than it
// would be now, by Secrets that have changed since. It asks for them now and then;
// while they cannot be had, what was last known stands.
func (a *Agent) seedDiffers(ctx context.Context, w *work, vm *v1alpha1.VirtualMachine, d *ownership.Observed, now time.Time) bool {
	if d == nil || !d.State.Active() || !d.Owned || d.Ownership.Owner != vm.Owner() || len(vm.Spec.CloudInit.Secrets()) == 0 {
		w.seed = seedWork{}
		return false
	}
	if !w.seed.lookedAt.IsZero() && now.Sub(w.seed.lookedAt) < seedLook {
		return w.seed.changed
	}
	w.seed.lookedAt = now
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	told, err := a.seeds.told(vm.UID)
	if err == nil && told != "" {
		var seed cloudinit.Seed
		if seed, err = a.makeSeed(ctx, vm); err == nil {
			w.seed.changed = told != seed.Digest()
		}
	}
	if err != nil {
		klog.FromContext(ctx).V(2).Info("The Secrets of a running guest's seed could not be compared", keyError, err.Error())
	}
	return w.seed.changed
}

// seedAgain is when to look again, so that a Secret that changes is noticed.
func (w *work) seedAgain(after time.Duration) time.Duration {
	if w.seed.lookedAt.IsZero() {
		return after
	}
	if after == 0 {
		return seedLook
	}
	return min(after, seedLook)
}

// sweepSeeds removes seeds that no domain has. It is for the time before turns
// are given: none is being written then.
func (a *Agent) sweepSeeds(ctx context.Context) {
	removed, err := a.seeds.sweep(a.registry.has)
	logger := klog.FromContext(ctx)
	if removed > 0 {
		logger.Info("Removed seeds of domains that are gone", keyCount, removed)
	}
	if err != nil {
		logger.Info("Seeds of domains that are gone could not be removed", keyError, err.Error())
	}
}
