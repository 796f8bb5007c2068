package executor

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/images"
	"domus.dev/domus/pkg/executor/networks"
	"domus.dev/domus/pkg/executor/probes"
	"domus.dev/domus/pkg/executor/snapshots"
	"domus.dev/domus/pkg/executor/tickets"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/executor/turns"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A VM whose turn fails is looked at again after firstTurnRetry, doubling up
	// to lastTurnRetry.
	firstTurnRetry = 250 * time.Millisecond
	lastTurnRetry  = time.Minute
	// turnTimeout ends a turn that hangs, so that the VM gets another.
	turnTimeout = 10 * time.Minute
	// resync is how often everything is looked at although nothing was heard,
	// stretched by up to resyncJitter so that hosts do not do it together.
	resync       = 10 * time.Minute
	resyncJitter = 0.5
)

// VMs are the VirtualMachines bound to the host, as a watch has them. Objects
// are not to be changed.
type VMs interface {
	// Get returns nil when the watch does not have the VM.
	Get(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualMachine
	// List returns what the watch has.
	List(ctx context.Context) []types.NamespacedName
}

// Options is what an Agent works with.
type Options struct {
	Config hostconfig.HostConfiguration
	Host   libvirt.Host
	// Live reads and writes the API server without a cache.
	Live client.Client
	// VMs is a cache of the VMs bound to the host.
	VMs VMs
	// Operations is a cache of the operations given to the host.
	Operations Operations
	// Disks is a cache of the VirtualDisks at home on the host.
	Disks volumes.Disks
	// Networks is a cache of the cluster's VirtualNetworks, and Leftovers cleans up
	// after a libvirtd that died; nil on a simulated host.
	Networks  networks.VirtualNetworks
	Leftovers networks.Leftovers
	// Snapshots is a cache of the snapshots on the host.
	Snapshots snapshots.Snapshots
	// Images is a cache of the VirtualDiskImages; nil stands for none.
	Images images.Images
	// Transfer is where bytes of volumes are exchanged; nil for nowhere.
	Transfer *transfer.Server
	Recorder events.EventRecorder
	Clock    clock.WithTicker
	// Version is the executor's own.
	Version string
	// Machine is what this machine is known by in the Lease of a host without a kubelet;
	// not told when empty.
	Machine string
	// Claim returns when this machine is the host, or false when ctx ended; nil for at
	// once.
	Claim func(ctx context.Context) bool
}

// Agent looks after one host.
type Agent struct {
	config  hostconfig.HostConfiguration
	host    libvirt.Host
	live    client.Client
	status  *vmstatus.Writer
	vms     VMs
	tell    teller
	clock   clock.WithTicker
	version string
	machine string
	claim   func(ctx context.Context) bool
	// started is when this process did.
	started  time.Time
	registry *registry
	// operations are done beside the turns, or in them.
	operations *operations
	queue      workqueue.TypedRateLimitingInterface[types.NamespacedName]
	guests     *guests
	volumes    *volumes.Keeper
	networks   *networks.Keeper
	// cni connects cards to networks of type cni; nil where the host does not.
	cni *cniCards
	// addresses are what the host has heard of guests' cards.
	addresses *addresses
	// probes finds out whether guests serve; virtualNetworks say where they are.
	probes          *probes.Keeper
	virtualNetworks networks.VirtualNetworks
	// snapshots are made beside the turns, which occupied keeps apart from that.
	snapshots *snapshots.Keeper
	occupied  *occupied
	images    *images.Keeper
	// transfer and tickets are nil on a host that exchanges no volumes.
	transfer *transfer.Server
	tickets  *tickets.Keeper
	// telling limits what is told of what happens in guests.
	telling map[told]*rate.Limiter

	// clusterID is set before the first turn.
	clusterID string

	// hostChanged, libvirtChanged and pinsChanged hold a token while there is
	// something to do.
	hostChanged, libvirtChanged, pinsChanged chan struct{}
	// saveGlance is how long a turn waits for a save, and grantWait for a Secret
	// that this host may read.
	saveGlance, grantWait time.Duration
	// seeds are what guests' cloud-init reads; swept once, before the first turn.
	seeds seedStore
	swept sync.Once
	// pinning is held while guests are pinned.
	pinning sync.Mutex

	mu sync.Mutex
	// connected: libvirt answers. ready: it was listed since it does.
	connected, ready bool
	// reported: what the host has was written since this process began.
	reported  bool
	works     map[types.NamespacedName]*work
	nodeUID   types.UID
	heartbeat time.Time
}

// NewAgent returns an Agent that does nothing before Run.
func NewAgent(o Options) *Agent {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstTurnRetry, lastTurnRetry)
	a := &Agent{
		config: o.Config, host: o.Host, live: o.Live, status: vmstatus.New(o.Live), vms: o.VMs,
		tell:  teller{recorder: o.Recorder, node: o.Config.NodeName},
		clock: o.Clock, version: o.Version, machine: o.Machine, claim: o.Claim, started: o.Clock.Now(), registry: newRegistry(o.Config),
		operations: newOperations(o.Operations, o.Config.NodeName, o.Clock),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "virtualmachines-" + o.Config.NodeName, Clock: o.Clock}),
		occupied: newOccupied(), guests: newGuests(o.Config.NodeName, o.Clock),
		hostChanged: make(chan struct{}, 1), libvirtChanged: make(chan struct{}, 1), pinsChanged: make(chan struct{}, 1),
		works: map[types.NamespacedName]*work{}, saveGlance: saveGlance, grantWait: grantWait, seeds: seedStore{dir: o.Config.SeedFolder()}, telling: map[told]*rate.Limiter{},
	}
	a.images = a.newImages(o)
	disks := volumes.Options{
		Node: o.Config.NodeName, Storage: o.Host, Live: o.Live, Disks: o.Disks, Guests: a, Images: a.images, Recorder: o.Recorder, Clock: o.Clock,
		Changed: a.diskChanged, PoolsChanged: a.wakeHost,
	}
	if o.Transfer != nil {
		a.transfer, disks.Peers = o.Transfer, peers(o.Live, o.Transfer)
		a.tickets = tickets.New(o.Config.NodeName, o.Transfer.Address, o.Transfer.Identity.PEM, o.Live, o.Clock)
	}
	a.volumes = volumes.New(disks)
	a.cni = newCNICards(o.Config, o.Clock, a.cniInUse, a.queue.Add, a.wakeHost)
	a.networks = networks.New(networks.Options{
		Node: o.Config.NodeName, Host: o.Host, Live: o.Live, Networks: o.Networks, Guests: a, Recorder: o.Recorder, Clock: o.Clock,
		Levels: a.levelOf, OVSBridges: o.Config.OVSBridges, Leftovers: o.Leftovers, CNI: a.cni.connector(), Ready: a.knowsUsers, Changed: a.networkChanged, Reported: a.wakeHost,
	})
	a.addresses = newAddresses()
	a.probes, a.virtualNetworks = a.newProbes(), o.Networks
	a.snapshots = snapshots.New(snapshots.Options{
		Node: o.Config.NodeName, Host: o.Host, Live: o.Live, Snapshots: o.Snapshots, Guests: snapshotGuests{a}, Recorder: o.Recorder, Clock: o.Clock,
		Changed: func(vm types.NamespacedName) { a.queue.Add(vm); a.operations.stir(vm) },
	})
	return a
}

// Run looks after the host until ctx ends. Guests are left alone then.
func (a *Agent) Run(ctx context.Context) {
	ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithValues(keyNode, a.config.NodeName))
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { a.cni.run(ctx, a.cniNeeded) }) // guests are answered without a cluster
	if !a.learnCluster(ctx) || a.claim != nil && !a.claim(ctx) {
		return
	}
	for _, part := range []func(context.Context){
		a.hear, a.followLibvirt, a.followHost, a.followPins, a.followGuests, a.followOperations, a.volumes.Run, a.images.Run, a.snapshots.Run, a.networks.Run,
		a.exchange, a.followTickets, a.followAddresses, a.probes.Run, a.giveTurns,
	} {
		running.Go(func() { part(ctx) })
	}
	<-ctx.Done()
	a.queue.ShutDown()
	a.operations.queue.ShutDown()
	a.guests.queue.ShutDown()
	running.Wait()
}

// learnCluster finds out which cluster this is, for as long as it takes.
func (a *Agent) learnCluster(ctx context.Context) bool {
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 30 * time.Second}
	for {
		id, err := clusterID(ctx, a.live)
		if err == nil {
			klog.FromContext(ctx).Info("Connected to the cluster", keyCluster, id)
			a.clusterID = id
			a.images.Join(volumes.MarkSuffix(id, a.config.NodeName))
			a.volumes.Join(id)
			a.networks.Join(id)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		pause := backoff.Step()
		klog.FromContext(ctx).Info("The cluster does not answer; guests run on", keyError, err.Error(), keyQueueing, pause)
		select {
		case <-ctx.Done():
			return false
		case <-a.clock.After(pause):
		}
	}
}

// Enqueue asks for a turn of the VM.
func (a *Agent) Enqueue(key types.NamespacedName) {
	a.queue.Add(key)
	a.operations.stir(key)
	a.volumes.Stir()
	a.snapshots.Stir(key)
}

// wakeHost asks for the Node and the Hypervisor to be looked at.
func (a *Agent) wakeHost() { wake(a.hostChanged) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// giveTurns gives VMs their turns.
func (a *Agent) giveTurns(ctx context.Context) {
	turns.Give(a.queue, func(key types.NamespacedName) { a.giveTurn(ctx, key) })
}

func (a *Agent) giveTurn(ctx context.Context, key types.NamespacedName) {
	logger := klog.FromContext(ctx).WithValues(keyVM, key)
	ctx, cancel := context.WithTimeout(klog.NewContext(ctx, logger), turnTimeout)
	defer cancel()
	after, err := a.turn(ctx, key)
	if err != nil && ctx.Err() == nil {
		logger.Info("A turn failed and is repeated", keyError, err.Error())
	}
	turns.Settle(a.queue, key, after, err)
}

func (a *Agent) work(key types.NamespacedName) *work {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.works[key]
	if w == nil {
		w = &work{}
		a.works[key] = w
	}
	return w
}

func (a *Agent) forget(key types.NamespacedName) {
	a.guests.forget(key)
	a.probes.Forget(key)
	a.networks.StirAll()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.works, key)
}

// Ready says whether the host is looked after: the cluster is known and libvirt
// has been listed.
func (a *Agent) Ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}

func (a *Agent) isConnected() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.connected
}
