package executor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/networks"
	"domus.dev/domus/pkg/executor/plan"
)

const (
	// cniTick is how often cards that nobody needs are swept, and the host's
	// configurations read.
	cniTick = 15 * time.Second
	// cniGrace is how long a card is kept that a turn has just asked for: its VM may be
	// known to that turn alone, which reads VMs live.
	cniGrace = time.Minute
	// A card that could not be had is tried again after firstCNIRetry, doubling up to
	// lastCNIRetry.
	firstCNIRetry = time.Second
	lastCNIRetry  = time.Minute
	// cniTimeout bounds all that one card needs; each of a network's plugins has less.
	cniTimeout = 2 * time.Minute
)

// cniHost makes cards: a cni.Manager, whose methods say more.
type cniHost interface {
	Standing(cni.Attachment) (bool, error)
	Attach(context.Context, cni.Attachment) (cni.Result, error)
	Known(uid types.UID, card string) (cni.Card, bool, error)
	Offered() ([]string, error)
	OfferedPlugins() []string
	Resume(context.Context) error
	Sweep(ctx context.Context, keep func(uid types.UID, card string) bool) error
	Close()
}

// cniCards connects guests to networks of type cni. Plugins may take long, so turns
// do not wait for them. nil is a host that has none.
type cniCards struct {
	manager cniHost
	clock   clock.PassiveClock
	// changed is called with a VM whose card can be had now, or failed.
	changed func(types.NamespacedName)
	// inUse says whether a guest has the card.
	inUse func(cniCard) bool
	// offering is called when the host offers other networks than before.
	offering func()

	mu       sync.Mutex
	cards    map[cniCard]*cniWork
	networks []string
	plugins  []string
	// background is what has been begun, so that it can be waited for.
	background sync.WaitGroup
	running    context.Context
}

// cniCard tells cards apart.
type cniCard struct {
	uid  types.UID
	card string
}

// cniWork is what is remembered of one card.
type cniWork struct {
	vm types.NamespacedName
	// busy is true while it is being made.
	busy bool
	// asked is when a turn last asked for it.
	asked time.Time
	// failure is why it could not be had last, tries how often, and retry when it is
	// tried again.
	failure string
	tries   int
	retry   time.Time
}

var _ networks.Connector = &cniCards{}

// newCNICards returns nil for a host that connects no cards.
func newCNICards(config hostconfig.HostConfiguration, clock clock.PassiveClock, inUse func(cniCard) bool, changed func(types.NamespacedName), offering func()) *cniCards {
	if config.CNI == nil {
		return nil
	}
	log := klog.Background().WithValues(keyNode, config.NodeName)
	m, err := cni.New(config.CNI.Options(config.NodeName), log)
	if err != nil { // the configuration has been validated
		log.Error(err, "The host connects no cards to networks of type cni")
		return nil
	}
	return &cniCards{
		manager: m, clock: clock, inUse: inUse, changed: changed, offering: offering,
		cards: map[cniCard]*cniWork{}, running: context.Background(),
	}
}

var _ cniHost = &cni.Manager{}

// connector is what networks are given: an interface that is nil where c is.
func (c *cniCards) connector() networks.Connector {
	if c == nil {
		return nil
	}
	return c
}

// offers are the names of the networks that VMs can have cards on here.
func (c *cniCards) offers() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.networks)
}

// offersPlugins are the types of plugins that NetworkAttachmentDefinitions may name.
func (c *cniCards) offersPlugins() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.plugins)
}

// Connect implements networks.Connector.
func (c *cniCards) Connect(ctx context.Context, vm *v1alpha1.VirtualMachine, card *v1alpha1.VirtualMachineInterface, network *v1alpha1.VirtualNetwork) (convert.Card, string, error) {
	a := cni.Attachment{
		Namespace: vm.Namespace, Name: vm.Name, UID: vm.UID, Card: card.Name, MAC: vm.MACOf(card), Hostname: vm.Name,
	}
	name, config := network.CNI()
	if a.Network = name; config != "" {
		a.Config = []byte(config)
	}
	key := cniCard{vm.UID, card.Name}
	if c.inUse(key) {
		// What a guest is using is not replaced under it: it has another when it is
		// started next.
		if known, is, err := c.manager.Known(key.uid, key.card); err != nil {
			return convert.Card{}, "", err
		} else if is && known.Attached {
			a = known.Attachment
		}
	}
	c.mu.Lock()
	w := c.cards[key]
	if w == nil {
		w = &cniWork{vm: client.ObjectKeyFromObject(vm)}
		c.cards[key] = w
	}
	w.asked = c.clock.Now()
	busy := w.busy
	c.mu.Unlock()
	if busy {
		return convert.Card{}, connecting(card, network), nil
	}
	standing, err := c.manager.Standing(a)
	if err != nil {
		return convert.Card{}, "", err
	}
	if standing {
		r, err := c.manager.Attach(ctx, a)
		if err != nil {
			return convert.Card{}, "", err
		}
		return plugged(r), "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.busy {
		return convert.Card{}, connecting(card, network), nil
	}
	if w.failure != "" && c.clock.Now().Before(w.retry) {
		return convert.Card{}, w.failure, nil
	}
	w.busy = true
	c.background.Go(func() { c.attach(key, w, a, network.Name) })
	if w.failure != "" {
		return convert.Card{}, w.failure, nil // until it is known to be mended
	}
	return convert.Card{}, connecting(card, network), nil
}

func connecting(card *v1alpha1.VirtualMachineInterface, network *v1alpha1.VirtualNetwork) string {
	return fmt.Sprintf("card %s is being connected to VirtualNetwork %s", card.Name, network.Name)
}

// plugged is the card as the guest's domain names it.
func plugged(r cni.Result) convert.Card {
	card := convert.Card{Tap: r.Tap, MAC: r.MAC, MTU: int32(r.MTU)}
	for _, a := range r.Addresses {
		card.Addresses = append(card.Addresses, a.String())
	}
	return card
}

// attach makes the card, and has the VM looked at.
func (c *cniCards) attach(key cniCard, w *cniWork, a cni.Attachment, network string) {
	ctx, cancel := context.WithTimeout(c.context(), cniTimeout)
	defer cancel()
	_, err := c.manager.Attach(ctx, a)
	c.mu.Lock()
	w.busy = false
	if err != nil {
		w.failure = fmt.Sprintf("VirtualNetwork %s: %v; it is tried again", network, err)
		w.retry = c.clock.Now().Add(min(firstCNIRetry<<min(w.tries, 10), lastCNIRetry))
		w.tries++
	} else {
		w.failure, w.tries = "", 0
	}
	c.mu.Unlock()
	if err != nil {
		klog.FromContext(ctx).Info("A card could not be connected", keyUUID, key.uid, keyReason, cni.Reason(err), keyError, err.Error())
	}
	c.changed(w.vm)
}

func (c *cniCards) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// run answers the guests that there are, and sweeps cards that are needed by nobody
// of needed, which is false while that is not known.
func (c *cniCards) run(ctx context.Context, needed func(context.Context) (map[cniCard]bool, bool)) {
	if c == nil {
		return
	}
	logger := klog.FromContext(ctx)
	c.mu.Lock()
	c.running = ctx
	c.mu.Unlock()
	defer func() {
		c.background.Wait()
		c.manager.Close()
	}()
	if err := c.manager.Resume(ctx); err != nil {
		logger.Info("Some cards could not be looked after", keyError, err.Error())
	}
	tick := time.NewTicker(cniTick)
	defer tick.Stop()
	for {
		c.readOffers(logger)
		if need, known := needed(ctx); known {
			if err := c.sweep(ctx, need); err != nil && ctx.Err() == nil {
				logger.Info("Some cards could not be removed; it is tried again", keyError, err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *cniCards) readOffers(logger logr.Logger) {
	names, err := c.manager.Offered()
	if err != nil {
		logger.Info("The CNI configurations could not be read", keyError, err.Error())
		return
	}
	plugins := c.manager.OfferedPlugins()
	c.mu.Lock()
	changed := !slices.Equal(names, c.networks) || !slices.Equal(plugins, c.plugins)
	c.networks, c.plugins = names, plugins
	c.mu.Unlock()
	if changed {
		c.offering()
	}
}

// sweep removes the cards that nobody needs.
func (c *cniCards) sweep(ctx context.Context, needed map[cniCard]bool) error {
	now := c.clock.Now()
	c.mu.Lock()
	for key, w := range c.cards {
		if w.busy || now.Sub(w.asked) < cniGrace {
			needed[key] = true
		} else if !needed[key] {
			delete(c.cards, key)
		}
	}
	c.mu.Unlock()
	return c.manager.Sweep(ctx, func(uid types.UID, card string) bool { return needed[cniCard{uid, card}] })
}

// cniNeeded are the cards of VMs that are bound here and of guests that there are,
// whatever has become of their VMs; false while that is not known.
func (a *Agent) cniNeeded(ctx context.Context) (map[cniCard]bool, bool) {
	if !a.knowsUsers() {
		return nil, false
	}
	out := map[cniCard]bool{}
	for _, card := range a.registry.plugged() {
		out[card] = true
	}
	for _, key := range a.vms.List(ctx) {
		vm := a.vms.Get(ctx, key)
		if vm == nil || !vm.PlacedOn(a.config.NodeName) || plan.Ended(plan.HostStatus(vm)) {
			continue
		}
		for i := range vm.Spec.Interfaces {
			out[cniCard{vm.UID, vm.Spec.Interfaces[i].Name}] = true
		}
	}
	return out, true
}

// cniInUse says whether a guest has the card.
func (a *Agent) cniInUse(card cniCard) bool { return slices.Contains(a.registry.plugged(), card) }

// plugged are the cards that guests of ours have, or will have as soon as they are
// started or their memory is read.
func (r *registry) plugged() (out []cniCard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.domains {
		if !d.Owned || !d.State.Active() && !d.Saved && !r.starting[d.UUID] {
			continue
		}
		for _, card := range d.Cards {
			if name, ours := convert.CardOfAlias(card.Alias); ours {
				out = append(out, cniCard{d.Ownership.Owner.UID, name})
			}
		}
	}
	return out
}
