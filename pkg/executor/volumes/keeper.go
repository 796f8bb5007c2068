package volumes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/turns"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A disk whose turn fails is looked at again after firstTurnRetry, doubling up
	// to lastTurnRetry.
	firstTurnRetry = 250 * time.Millisecond
	lastTurnRetry  = time.Minute
	// maxRounds bounds the looks of one turn.
	maxRounds = 8
	// lookTimeout is for calls that only read.
	lookTimeout = 30 * time.Second
	// makeTimeout bounds the making of a volume, which may be a copy of terabytes.
	makeTimeout = 24 * time.Hour
	// changeTimeout is for what takes a moment: removing and growing.
	changeTimeout = 5 * time.Minute
)

// Keys of structured log lines.
const (
	keyDisk  = "virtualDisk"
	keyPool  = "storagePool"
	keyStep  = "step"
	keyError = "err"
)

// Disks are the VirtualDisks whose home is the host, as a watch has them. Objects
// are not to be changed.
type Disks interface {
	// Disk returns nil when the watch does not have the disk.
	Disk(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDisk
	// Disks lists them; false while the watch has not read them all.
	Disks(ctx context.Context) ([]*v1alpha1.VirtualDisk, bool)
}

// Guests are those who have volumes on the host.
type Guests interface {
	// Users lists the domains that have the volume as a disk of a guest, running or
	// saved, and the VMs bound here that name the disk.
	Users(ctx context.Context, disk *v1alpha1.VirtualDisk) []User
}

// Options is what a Keeper works with.
type Options struct {
	Node    string
	Storage libvirt.Storage
	// Live reads and writes the API server without a cache.
	Live   client.Client
	Disks  Disks
	Guests Guests
	// Images are what disks may begin with; NoImages when nil.
	Images   Images
	Recorder events.EventRecorder
	Clock    clock.WithTicker
	// Peers are the other hosts; nil where volumes are not exchanged with any.
	Peers Peers
	// Changed is called with a disk that may have come to be ready, or not.
	Changed func(types.NamespacedName)
	// PoolsChanged is called when what Pools returns may have changed.
	PoolsChanged func()
}

// Keeper looks after the volumes of one host.
type Keeper struct {
	Options
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	ledger ledger
	pools  pools
	// arrivals are disks that are being moved here from other hosts. Nothing arrives
	// before Sweep has looked at what an earlier process left.
	arrivals arrivals
	// segment is wholeSegment, or what a test has time for.
	segment int64
	swept   atomic.Bool
	// exports are copies that were made to be exported.
	exports exports
	// looking holds a token while pools are to be looked at.
	looking chan struct{}

	mu sync.Mutex
	// suffix ends the names of this host's marks; empty before the cluster is
	// known.
	suffix string
	works  map[types.NamespacedName]*work
	// copied counts the copies that are being made of each disk, and altered the
	// changes of its volume; see alter.go.
	copied, altered map[types.UID]int
	// back are the versions at which claims to disks were given back, until the
	// watch has heard of it.
	back map[types.UID]returned
}

// work is what is kept for one disk between turns. Only the goroutine that has the
// disk's turn uses it.
type work struct {
	memory Memory
	// newest is the object as our last write left it.
	newest *v1alpha1.VirtualDisk
	// waits says that the disk waits for what guests do. Guarded by Keeper.mu.
	waits bool
}

// New returns a Keeper that does nothing before Run.
func New(o Options) *Keeper {
	if o.Images == nil {
		o.Images = NoImages{}
	}
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstTurnRetry, lastTurnRetry)
	return &Keeper{
		Options: o, segment: wholeSegment, looking: make(chan struct{}, 1),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "virtualdisks-" + o.Node, Clock: o.Clock}),
		works: map[types.NamespacedName]*work{}, copied: map[types.UID]int{}, altered: map[types.UID]int{},
	}
}

// Enqueue asks for a turn of the disk.
func (k *Keeper) Enqueue(key types.NamespacedName) { k.queue.Add(key) }

// Stir has the disks looked at that wait for what guests do.
func (k *Keeper) Stir() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, w := range k.works {
		if w.waits {
			k.queue.Add(key)
		}
	}
}

// Look asks for a look at the pools, and at all disks.
func (k *Keeper) Look() {
	select {
	case k.looking <- struct{}{}:
	default:
	}
}

// Join says which cluster this is; nothing is done before.
func (k *Keeper) Join(clusterID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.suffix = MarkSuffix(clusterID, k.Node)
}

func (k *Keeper) mark() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.suffix
}

// Run looks after the volumes until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { k.followPools(ctx) })
	running.Go(func() { k.giveTurns(ctx) })
	<-ctx.Done()
	k.queue.ShutDown()
	running.Wait()
}

// giveTurns gives disks their turns: none waits for another's copy.
func (k *Keeper) giveTurns(ctx context.Context) {
	turns.Give(k.queue, func(key types.NamespacedName) { k.giveTurn(ctx, key) })
}

func (k *Keeper) giveTurn(ctx context.Context, key types.NamespacedName) {
	logger := klog.FromContext(ctx).WithValues(keyDisk, key)
	after, err := k.Turn(klog.NewContext(ctx, logger), key)
	if err != nil && ctx.Err() == nil {
		logger.Info("A disk's turn failed and is repeated", keyError, err.Error())
	}
	turns.Settle(k.queue, key, after, err)
}

func (k *Keeper) work(key types.NamespacedName) *work {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.works[key]
	if w == nil {
		w = &work{}
		k.works[key] = w
	}
	return w
}

func (k *Keeper) forget(key types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.works, key)
}

// Turn brings one disk and its volume a step closer, and says when to look again.
func (k *Keeper) Turn(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	if k.mark() == "" || !k.pools.known() {
		return 0, nil // all disks are looked at when the pools have been
	}
	w := k.work(key)
	disk, live := k.cached(ctx, key, w), false
	for range maxRounds {
		if disk == nil && !live {
			var err error
			if disk, err = k.read(ctx, key); err != nil {
				return 0, err
			}
			live = true
		}
		in, err := k.situation(ctx, w, disk)
		if err != nil {
			return 0, err
		}
		decision := Plan(in)
		k.mu.Lock()
		w.waits = decision.waitsForGuests()
		k.mu.Unlock()
		if len(decision.Steps) > 0 && !live {
			// What is made or removed is decided on the object as it is now.
			disk = nil
			continue
		}
		if err := k.carryOut(ctx, w, &in, decision); err != nil {
			if errors.Is(err, diskstatus.ErrStale) || apierrors.IsNotFound(err) {
				w.newest = nil
			}
			return 0, err
		}
		if !decision.Again {
			if in.Disk == nil || in.Disk.Status.NodeName != k.Node {
				k.forget(key)
				return 0, nil
			}
			return decision.RequeueAfter, nil
		}
		disk, live = nil, false
	}
	return time.Second, nil
}

// cached returns the disk as the watch or our own last write has it, and nil when
// the API server has to be asked.
func (k *Keeper) cached(ctx context.Context, key types.NamespacedName, w *work) *v1alpha1.VirtualDisk {
	disk := k.Disks.Disk(ctx, key)
	if disk == nil || w.newest == nil {
		return disk
	}
	if disk.UID == w.newest.UID && disk.ResourceVersion != w.newest.ResourceVersion {
		w.newest = nil
		return nil // which of them is newer the API server knows
	}
	w.newest = nil
	return disk
}

// read asks the API server itself; nil when there is no such disk.
func (k *Keeper) read(ctx context.Context, key types.NamespacedName) (*v1alpha1.VirtualDisk, error) {
	disk := &v1alpha1.VirtualDisk{}
	err := k.Live.Get(ctx, key, disk)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading VirtualDisk %s: %w", key, err)
	}
	return disk, nil
}
