package networks

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/turns"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A network whose turn fails is looked at again after firstTurnRetry, doubling up
	// to lastTurnRetry.
	firstTurnRetry = 250 * time.Millisecond
	lastTurnRetry  = time.Minute
	// maxRounds bounds the looks of one turn.
	maxRounds = 6
	// lookTimeout is for calls that only read, and changeTimeout for the others: a
	// network's DHCP server is started and waited for.
	lookTimeout   = 30 * time.Second
	changeTimeout = 2 * time.Minute
)

// Keys of structured log lines.
const (
	keyNetwork = "virtualNetwork"
	keyStep    = "step"
	keyError   = "err"
)

// VirtualNetworks are those of the cluster, as a watch has them. Objects are not to
// be changed.
type VirtualNetworks interface {
	// Network returns nil when the watch does not have the network.
	Network(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualNetwork
}

// Guests are those who need networks on the host.
type Guests interface {
	// NetworkUsers lists the domains that have a card on the libvirt network, and the
	// VMs bound here that name the VirtualNetwork.
	NetworkUsers(ctx context.Context, network types.NamespacedName, libvirtName string) []User
	// NetworksNamed lists the VirtualNetworks that VMs bound here name.
	NetworksNamed(ctx context.Context) []types.NamespacedName
}

// Leftovers are removed of networks that are not active.
type Leftovers interface {
	// Clean removes the bridge and ends the DHCP server of the libvirt network, which
	// libvirt does not know of. Where there are none that is success.
	Clean(ctx context.Context, network, bridge string) error
}

// Levels say what a namespace may have.
type Levels func(ctx context.Context, namespace string) (v1alpha1.PolicyLevel, error)

// Options is what a Keeper works with.
type Options struct {
	Node     string
	Host     libvirt.Networks
	Live     client.Reader
	Networks VirtualNetworks
	Guests   Guests
	Levels   Levels
	// OVSBridges names the bridges of Open vSwitch's, which libvirt does not tell
	// from devices.
	OVSBridges []string
	// Leftovers removes what a libvirtd has left that was killed while it started a
	// network; nil where there is nothing of the kind.
	Leftovers Leftovers
	// CNI connects cards to networks of type cni; nil where the host does not.
	CNI      Connector
	Recorder events.EventRecorder
	Clock    clock.WithTicker
	// Ready says whether it is known which domains and VMs there are: nothing is done
	// before.
	Ready func() bool
	// Changed is called with a network that guests may have come to be able to use,
	// or not.
	Changed func(types.NamespacedName)
	// Reported is called when what Report returns may have changed.
	Reported func()
}

// Keeper looks after the networks of one host.
type Keeper struct {
	Options
	queue workqueue.TypedRateLimitingInterface[types.NamespacedName]
	// looking holds a token while the host's interfaces and all networks are to be
	// looked at.
	looking chan struct{}

	mu      sync.Mutex
	cluster string
	// looked says that libvirt has been listed since it was reached.
	looked bool
	// host has the interfaces alone.
	host v1alpha1.HypervisorStatus
	// listed are the networks that libvirt has, as of listedAt.
	listed   []libvirt.Network
	listedAt time.Time
	// summary tells whether they are others than at the last look.
	summary string
	works   map[types.NamespacedName]*Memory
	// states are what the last turns have found, by VirtualNetwork and UID.
	states map[types.NamespacedName]map[types.UID]state
	// held counts, by libvirt name, the guests that are being given a card on a
	// network just now, and closing has the networks that are being stopped: never
	// both.
	held    map[string]int
	closing map[string]bool
}

// state is what a turn has found.
type state struct {
	exists, active, unfit bool
	bridge, message       string
}

// New returns a Keeper that does nothing before Run.
func New(o Options) *Keeper {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstTurnRetry, lastTurnRetry)
	return &Keeper{
		Options: o, looking: make(chan struct{}, 1),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "virtualnetworks-" + o.Node, Clock: o.Clock}),
		works: map[types.NamespacedName]*Memory{}, states: map[types.NamespacedName]map[types.UID]state{},
		held: map[string]int{}, closing: map[string]bool{},
	}
}

// Enqueue asks for a turn of the network.
func (k *Keeper) Enqueue(key types.NamespacedName) { k.queue.Add(key) }

// Stir has the networks with these libvirt names looked at, as far as they are
// ours: who needs them may have changed.
func (k *Keeper) Stir(libvirtNames ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, states := range k.states {
		for uid := range states {
			if slices.Contains(libvirtNames, Mark{Network: key, UID: uid}.libvirtName()) {
				k.queue.Add(key)
			}
		}
	}
}

// StirAll has all networks looked at that there are on the host.
func (k *Keeper) StirAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.states {
		k.queue.Add(key)
	}
}

// Look asks for a look at the host's interfaces, and at all networks.
func (k *Keeper) Look() {
	select {
	case k.looking <- struct{}{}:
	default:
	}
}

// Lost says that libvirt is away: nothing is known of networks until Look.
func (k *Keeper) Lost() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looked, k.listed = false, nil
}

// Join says which cluster this is; nothing is done before.
func (k *Keeper) Join(clusterID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cluster = clusterID
}

// Run looks after the networks until ctx ends. They stay as they are then.
func (k *Keeper) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { k.followHost(ctx) })
	running.Go(func() { turns.Give(k.queue, func(key types.NamespacedName) { k.giveTurn(ctx, key) }) })
	<-ctx.Done()
	k.queue.ShutDown()
	running.Wait()
}

func (k *Keeper) giveTurn(ctx context.Context, key types.NamespacedName) {
	logger := klog.FromContext(ctx).WithValues(keyNetwork, key)
	after, err := k.Turn(klog.NewContext(ctx, logger), key)
	if err != nil && ctx.Err() == nil {
		logger.Info("A network's turn failed and is repeated", keyError, err.Error())
	}
	turns.Settle(k.queue, key, after, err)
}

// Turn brings what the host has of one VirtualNetwork a step closer, and says when
// to look again.
func (k *Keeper) Turn(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	k.mu.Lock()
	ready := k.cluster != "" && k.looked
	memory := k.works[key]
	if memory == nil {
		memory = &Memory{}
		k.works[key] = memory
	}
	k.mu.Unlock()
	if !ready {
		return 0, nil // all networks are looked at when libvirt has been
	}
	for range maxRounds {
		all, err := k.situations(ctx, key, memory)
		if err != nil {
			return 0, err
		}
		again, after := false, time.Duration(0)
		states := map[types.UID]state{}
		for uid, in := range all {
			decision := Plan(in)
			if k.carryOut(ctx, key, &in, decision, memory) {
				again = again || decision.Again
			} else {
				in.Memory, in.Now = *memory, k.Clock.Now()
				decision = Plan(in) // which says what went wrong
			}
			if decision.RequeueAfter > 0 && (after == 0 || decision.RequeueAfter < after) {
				after = decision.RequeueAfter
			}
			if in.Found != nil || len(in.Users) > 0 {
				s := state{exists: in.Found != nil, active: decision.Active, message: decision.Message, unfit: decision.Unfit}
				if in.Found != nil {
					s.bridge = in.Found.Bridge
				}
				states[uid] = s
			}
		}
		if again {
			continue
		}
		k.keep(key, states)
		if wait := memory.RetryAt.Sub(k.Clock.Now()); wait > 0 && (after == 0 || wait < after) {
			after = wait
		}
		return after, nil
	}
	return time.Second, nil
}

// keep takes over what a turn has found, and tells of what has changed.
func (k *Keeper) keep(key types.NamespacedName, states map[types.UID]state) {
	k.mu.Lock()
	changed := len(states) != len(k.states[key])
	for uid, s := range states {
		changed = changed || k.states[key][uid] != s
	}
	if len(states) == 0 {
		delete(k.states, key)
		delete(k.works, key)
	} else {
		k.states[key] = states
	}
	k.mu.Unlock()
	if changed {
		k.Changed(key)
		k.Reported()
	}
}

// read asks the API server itself; nil when there is no such network.
func (k *Keeper) read(ctx context.Context, key types.NamespacedName) (*v1alpha1.VirtualNetwork, error) {
	n := &v1alpha1.VirtualNetwork{}
	err := k.Live.Get(ctx, key, n)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading VirtualNetwork %s: %w", key, err)
	}
	return n, nil
}

// EnqueueKnown asks for a turn of the network if there is anything of it here.
func (k *Keeper) EnqueueKnown(key types.NamespacedName) {
	k.mu.Lock()
	_, known := k.states[key]
	k.mu.Unlock()
	if known {
		k.queue.Add(key)
	}
}
