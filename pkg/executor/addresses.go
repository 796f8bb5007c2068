package executor

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
)

const (
	// addressTick is how often the host is asked for the addresses of guests of which
	// it has none yet, and addressRefresh of others: leases change seldom. A guest that
	// has none after addressPatience is one of those.
	addressTick     = 2 * time.Second
	addressRefresh  = time.Minute
	addressPatience = 5 * time.Minute
	// addressTimeout bounds one question.
	addressTimeout = 10 * time.Second
)

// addresses are what the host has heard of guests' cards: by DHCP and ARP. Nobody
// tells of them, so they are asked for.
type addresses struct {
	mu sync.Mutex
	// known is by the domain's UUID.
	known map[string]cardAddresses
}

type cardAddresses struct {
	// life is the guest's number: another guest of the domain is another life.
	life        int
	since, next time.Time
	// byMAC are sorted.
	byMAC map[string][]string
}

func newAddresses() *addresses { return &addresses{known: map[string]cardAddresses{}} }

// of returns what is known of the guest's cards, by hardware address.
func (a *addresses) of(uuid string, life int) map[string][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[uuid]
	if k.life != life {
		return nil
	}
	return maps.Clone(k.byMAC)
}

// due says whether the guest is to be asked about now.
func (a *addresses) due(d *ownership.Observed, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, ok := a.known[d.UUID]
	if !ok || k.life != d.ID {
		k = cardAddresses{life: d.ID, since: now}
		a.known[d.UUID] = k
	}
	return !now.Before(k.next)
}

// heard takes over an answer, and says whether it is another than before.
func (a *addresses) heard(d *ownership.Observed, byMAC map[string][]string, now time.Time) (changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[d.UUID]
	if k.life != d.ID {
		return false
	}
	all := true
	kept := map[string][]string{}
	for _, c := range d.Cards {
		if _, ours := convert.CardOfAlias(c.Alias); !ours {
			continue
		}
		if seen := plan.Known(byMAC[c.MAC]); len(seen) > 0 {
			kept[c.MAC] = seen
		} else {
			all = false
		}
	}
	changed = !maps.EqualFunc(kept, k.byMAC, slices.Equal[[]string])
	k.byMAC, k.next = kept, now.Add(addressTick)
	if all || now.Sub(k.since) > addressPatience {
		k.next = now.Add(addressRefresh)
	}
	a.known[d.UUID] = k
	return changed
}

// keep forgets all guests but these.
func (a *addresses) keep(uuids map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.known, func(uuid string, _ cardAddresses) bool { return !uuids[uuid] })
}

// followAddresses asks libvirt for the addresses of guests with cards of
// spec.interfaces.
func (a *Agent) followAddresses(ctx context.Context) {
	tick := a.clock.NewTicker(addressTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
		}
		if !a.Ready() {
			continue
		}
		present := map[string]bool{}
		for _, d := range a.registry.withCards() {
			present[d.UUID] = true
			if a.addresses.due(&d, a.clock.Now()) {
				a.askAddresses(ctx, &d)
			}
		}
		a.addresses.keep(present)
	}
}

func (a *Agent) askAddresses(ctx context.Context, d *ownership.Observed) {
	ctx, cancel := context.WithTimeout(ctx, addressTimeout)
	defer cancel()
	byMAC, err := a.host.CardAddresses(ctx, d.UUID)
	if err != nil {
		klog.FromContext(ctx).V(3).Info("The addresses of a guest could not be asked for", keyUUID, d.UUID, keyError, err.Error())
	}
	if a.addresses.heard(d, byMAC, a.clock.Now()) {
		a.enqueueOwner(*d)
	}
}

// withCards lists the domains that are ours and have a guest with cards of
// spec.interfaces.
func (r *registry) withCards() (out []ownership.Observed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.domains {
		if !d.Owned || !d.State.Active() {
			continue
		}
		for _, c := range d.Cards {
			if _, ours := convert.CardOfAlias(c.Alias); ours {
				out = append(out, d)
				break
			}
		}
	}
	return out
}
