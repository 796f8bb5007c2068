package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/libvirt"
)

// describeTimeout leaves time for the trial boots that a host's description
// includes.
const describeTimeout = 2 * time.Minute

// hear turns libvirt's events into turns.
func (a *Agent) hear(ctx context.Context) {
	logger := klog.FromContext(ctx)
	for e := range a.host.Events(ctx) {
		logger.V(4).Info("Heard", keyEvent, e.Kind, keyUUID, e.UUID, keyReason, e.Reason)
		switch e.Kind {
		case libvirt.EventConnected:
			a.mu.Lock()
			a.connected = true
			a.mu.Unlock()
			logger.Info("Connected to libvirt")
			a.tell.connected()
			wake(a.libvirtChanged)
		case libvirt.EventLost:
			a.mu.Lock()
			a.connected, a.ready = false, false
			a.mu.Unlock()
			logger.Info("libvirt cannot be reached; guests run on")
			a.networks.Lost()
			a.tell.lost()
			a.wakeHost()
		case libvirt.EventPool:
			a.volumes.Look()
		case libvirt.EventNetwork:
			a.networks.NetworkMoved(e.Name)
		case libvirt.EventAgent:
			a.agentMoved(e.UUID)
		case libvirt.EventRebooted, libvirt.EventWatchdog, libvirt.EventDiskError:
			// What they do to the domain is an event of its own.
			a.happened(e)
		case libvirt.EventCrashed:
			a.happened(e)
			a.heard(ctx, e.UUID)
		case libvirt.EventUndefined:
			a.untell(e.UUID)
			a.heard(ctx, e.UUID)
		default:
			a.heard(ctx, e.UUID)
		}
	}
}

// heard looks after a domain that something happened to.
func (a *Agent) heard(ctx context.Context, uuid string) {
	if d, known := a.registry.get(uuid); known && d.Owned {
		a.enqueueOwner(d)
		return
	}
	// A domain we do not know, or that is not ours and counts as foreign: one
	// look, beside the others, since a stuck domain must not keep events back.
	go func() {
		d, err := a.look(ctx, uuid)
		switch {
		case errors.Is(err, libvirt.ErrUnavailable), ctx.Err() != nil:
			return // everything is listed again after that
		case err != nil:
			klog.FromContext(ctx).Info("A domain could not be looked at", keyUUID, uuid, keyError, err.Error())
			return
		case d != nil && d.Owned:
			a.enqueueOwner(*d)
		}
	}()
}

func (a *Agent) enqueueOwner(d ownership.Observed) {
	o := d.Ownership.Owner
	a.Enqueue(types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
}

// followLibvirt lists everything after each connection, and now and then.
func (a *Agent) followLibvirt(ctx context.Context) {
	newBackoff := func() wait.Backoff {
		return wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 30 * time.Second}
	}
	backoff := newBackoff()
	next := a.clock.NewTimer(wait.Jitter(resync, resyncJitter))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.libvirtChanged:
		case <-next.C():
		}
		pause := wait.Jitter(resync, resyncJitter)
		if a.isConnected() {
			if err := a.refresh(ctx); err != nil {
				pause = backoff.Step()
				klog.FromContext(ctx).Info("Listing the host failed and is repeated", keyError, err.Error(), keyQueueing, pause)
			} else {
				backoff = newBackoff()
			}
		}
		next.Reset(pause)
	}
}

// refresh learns what the host has and which domains there are, and asks for a
// turn of every VM that has to do with either.
func (a *Agent) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	description, err := a.host.Describe(ctx)
	if err != nil {
		return err
	}
	kind, err := a.host.DomainType(ctx, a.config.DomainType)
	if err != nil {
		return err
	}
	description.DomainTypes, err = usable(description.DomainTypes, kind)
	if err != nil {
		return err
	}
	mark := a.registry.listing()
	domains, err := a.host.Domains(ctx)
	if err != nil {
		return err
	}
	a.registry.describe(description)
	a.registry.replace(mark, domains)
	a.swept.Do(func() { a.sweepSeeds(ctx) })
	a.mu.Lock()
	a.ready = a.connected
	a.mu.Unlock()
	for _, key := range a.registry.owners() {
		a.Enqueue(key)
	}
	for _, key := range a.vms.List(ctx) {
		a.Enqueue(key)
	}
	a.volumes.Look()
	a.networks.Look()
	a.wakeHost()
	wake(a.pinsChanged)
	return nil
}

// usable puts the kind that guests get first, and leaves KVM out where it was
// found not to work: a guest must not get it by asking either.
func usable(types []libvirt.DomainType, kind string) ([]libvirt.DomainType, error) {
	var first, rest []libvirt.DomainType
	for _, t := range types {
		switch t.Type {
		case kind:
			first = append(first, t)
		case libvirt.DomainTypeKVM:
		default:
			rest = append(rest, t)
		}
	}
	if len(first) == 0 {
		return nil, fmt.Errorf("describing the host: it does not run guests of type %s: set domainType to auto, or install what is missing", kind)
	}
	return append(first, rest...), nil
}
