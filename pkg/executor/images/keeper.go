package images

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/imagestatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/executor/turns"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// An image whose turn fails is looked at again after firstTurnRetry, doubling up
	// to lastTurnRetry.
	firstTurnRetry = 250 * time.Millisecond
	lastTurnRetry  = time.Minute
	// maxRounds bounds the looks of one turn.
	maxRounds = 8
	// lookTimeout is for calls that only read, and changeTimeout for what takes a
	// moment.
	lookTimeout   = 30 * time.Second
	changeTimeout = 5 * time.Minute
	// fetchTimeout bounds the fetching of an image.
	fetchTimeout = 24 * time.Hour
	// tellEvery is how often waiting disks are told how far it is.
	tellEvery = 10 * time.Second
	// maxFetches bounds the images that a host fetches at a time, and
	// maxNamespaceFetches those of a namespace: one whose servers are slow keeps no
	// other waiting.
	maxFetches          = 16
	maxNamespaceFetches = 2
	// DefaultGrace is how long an image is kept that nobody needs.
	DefaultGrace = time.Hour
)

// Keys of structured log lines.
const (
	keyImage = "virtualDiskImage"
	keyPool  = "storagePool"
	keyStep  = "step"
	keyError = "err"
)

// Images are the VirtualDiskImages as a watch has them. Objects are not to be
// changed.
type Images interface {
	// Image returns nil when the watch does not have the image.
	Image(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDiskImage
	// All lists what the watch has.
	All(ctx context.Context) []*v1alpha1.VirtualDiskImage
}

// Pools are the host's storage pools as they were last seen.
type Pools interface {
	// Pool returns false for one that the host does not have, or that is not active.
	Pool(name string) (libvirt.Pool, bool)
	// Spare is what of the pool is nobody's by promise, in bytes.
	Spare(ctx context.Context, pool string) int64
	// Look asks for another look at them.
	Look()
}

// Options is what a Keeper works with.
type Options struct {
	Node    string
	Storage libvirt.Storage
	// Live reads and writes the API server without a cache.
	Live    client.Client
	Images  Images
	Disks   volumes.Disks
	Pools   Pools
	Origins Origins
	// Peers are the other hosts; nil when this one exchanges no volumes.
	Peers    *transfer.Peers
	Recorder events.EventRecorder
	Clock    clock.WithTicker
	// Grace is how long an image is kept that nobody needs.
	Grace time.Duration
	// Changed is called with a disk of which the image has come to be there, or
	// further.
	Changed func(types.NamespacedName)
}

// Keeper looks after the images of one host.
type Keeper struct {
	Options
	queue workqueue.TypedRateLimitingInterface[libvirt.VolumeRef]
	// fetches holds a token for each fetch that goes on.
	fetches chan struct{}
	// ofNamespace likewise, by namespace. Guarded by mu.
	ofNamespace map[string]chan struct{}

	mu sync.Mutex
	// suffix ends the names of this host's marks; empty before the cluster is known.
	suffix string
	works  map[libvirt.VolumeRef]*work
}

// work is what is kept for one image in one pool between turns. memory is used by
// the goroutine alone that has its turn; all else is guarded by Keeper.mu.
type work struct {
	memory Memory
	// ready is the whole image; nil while disks cannot be made of it.
	ready *libvirt.Volume
	// held counts the disks that are being made of it.
	held int
	// fetched and total are bytes; total is 0 when it is not known.
	fetched, total int64
	fetching       bool
	// reason and message say why it is not ready.
	reason, message string
	// offer is what a request uploads, and taken says that a turn is at it.
	offer *offer
	taken bool
}

// New returns a Keeper that does nothing before Run.
func New(o Options) *Keeper {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[libvirt.VolumeRef](firstTurnRetry, lastTurnRetry)
	return &Keeper{
		Options: o, fetches: make(chan struct{}, maxFetches), ofNamespace: map[string]chan struct{}{}, works: map[libvirt.VolumeRef]*work{},
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[libvirt.VolumeRef]{Name: "virtualdiskimages-" + o.Node, Clock: o.Clock}),
	}
}

// Join says how the names of this host's marks end; nothing is done before.
func (k *Keeper) Join(suffix string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.suffix = suffix
}

func (k *Keeper) mark() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.suffix
}

// Run looks after the images until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() {
		turns.Give(k.queue, func(key libvirt.VolumeRef) { k.giveTurn(ctx, key) })
	})
	<-ctx.Done()
	k.queue.ShutDown()
	running.Wait()
}

func (k *Keeper) giveTurn(ctx context.Context, key libvirt.VolumeRef) {
	logger := klog.FromContext(ctx).WithValues(keyImage, key.Name, keyPool, key.Pool)
	after, err := k.Turn(klog.NewContext(ctx, logger), key)
	if errors.Is(err, imagestatus.ErrStale) {
		err, after = nil, firstTurnRetry // several hosts write it
	}
	if err != nil && ctx.Err() == nil {
		logger.Info("An image's turn failed and is repeated", keyError, err.Error())
	}
	turns.Settle(k.queue, key, after, err)
}

func (k *Keeper) work(key libvirt.VolumeRef) *work {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.workLocked(key)
}

// workLocked is work for who holds mu.
func (k *Keeper) workLocked(key libvirt.VolumeRef) *work {
	w := k.works[key]
	if w == nil {
		w = &work{reason: v1alpha1.ReasonImageNotReady, message: "is looked for on host " + k.Node}
		k.works[key] = w
	}
	return w
}

// Heard tells of an image that has appeared, changed or gone.
func (k *Keeper) Heard(ctx context.Context, image types.NamespacedName) {
	k.mu.Lock()
	for key := range k.works {
		if pool, ok := k.Pools.Pool(key.Pool); ok && k.suffix != "" {
			if of, ours := imageOf(key.Name, &pool, k.suffix); ours && of == image {
				k.queue.Add(key)
			}
		}
	}
	k.mu.Unlock()
	k.tell(ctx, image)
}

// Saw tells of the volumes of a pool, of which some may be images.
func (k *Keeper) Saw(pool libvirt.Pool, found []libvirt.Volume) {
	suffix := k.mark()
	if suffix == "" {
		return
	}
	for i := range found {
		if _, ours := imageOf(found[i].Name, &pool, suffix); ours {
			k.queue.Add(libvirt.VolumeRef{Pool: pool.Name, Name: found[i].Name})
		}
	}
	// A mark may be all that there is.
	for i := range found {
		if name, marked := cutMark(found[i].Name, suffix); marked {
			if _, ours := imageOf(name, &pool, suffix); ours {
				k.queue.Add(libvirt.VolumeRef{Pool: pool.Name, Name: name})
			}
		}
	}
	// What is told of it in a status may be all that there was.
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	for _, image := range k.Images.All(ctx) {
		if entry := image.Status.CopyAt(k.Node, pool.Name); entry != nil {
			k.queue.Add(libvirt.VolumeRef{Pool: pool.Name, Name: volumeName(image, &pool, suffix)})
		}
	}
}

// Promised is how much of the pool images that are being fetched are still to take,
// in bytes.
func (k *Keeper) Promised(pool string) (bytes int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, w := range k.works {
		if key.Pool == pool && w.fetching {
			bytes += max(w.total-w.fetched, 0)
		}
	}
	return bytes
}

// Turn brings one image a step closer, and says when to look again.
func (k *Keeper) Turn(ctx context.Context, key libvirt.VolumeRef) (time.Duration, error) {
	suffix := k.mark()
	pool, known := k.Pools.Pool(key.Pool)
	if suffix == "" || !known {
		return 0, nil // it is looked at when the pools have been
	}
	name, ours := imageOf(key.Name, &pool, suffix)
	if !ours {
		return 0, nil
	}
	w := k.work(key)
	for range maxRounds {
		in, err := k.situation(ctx, key, name, &pool, w)
		if err != nil {
			return 0, err
		}
		decision := Plan(in)
		if len(decision.Steps) > 0 && in.Image == nil {
			// What is removed is decided on the object as it is now.
			if in.Image, err = k.read(ctx, name, key, &pool); err != nil {
				return 0, err
			}
			decision = Plan(in)
		}
		if err := k.carryOut(ctx, key, w, &in, decision); err != nil {
			return 0, err
		}
		if !decision.Again {
			k.answer(w, in.offer, errNotTaken)
			if decision.Done {
				k.drop(key)
			}
			return decision.RequeueAfter, nil
		}
	}
	return time.Second, nil
}

// drop forgets an image of which there is nothing, unless a disk is being made of it.
func (k *Keeper) drop(key libvirt.VolumeRef) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.works[key]; w != nil && w.held == 0 && w.offer == nil {
		delete(k.works, key)
	}
}

// situation looks at the image's volume, and at who needs it.
func (k *Keeper) situation(ctx context.Context, key libvirt.VolumeRef, name types.NamespacedName, pool *libvirt.Pool, w *work) (Situation, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	in := Situation{Node: k.Node, Pool: pool, Grace: k.Grace, Memory: w.memory, Now: k.Clock.Now()}
	if image := k.Images.Image(ctx, name); image != nil && volumeName(image, pool, k.mark()) == key.Name {
		in.Image = image
	}
	var err error
	if in.Volume, err = k.volume(ctx, key.Pool, key.Name); err != nil {
		if errors.Is(err, libvirt.ErrNoPool) {
			in.Pool = nil
			k.Pools.Look()
			return in, nil
		}
		return in, err
	}
	mark, err := k.volume(ctx, key.Pool, key.Name+k.mark())
	if err != nil {
		return in, err
	}
	in.Marked = mark != nil
	waiting, all := k.waiting(ctx, name, key.Pool)
	if !all {
		return in, errNotRead
	}
	in.Waiting = len(waiting)
	k.mu.Lock()
	in.InUse = w.held > 0
	if in.offer = w.offer; w.offer != nil {
		in.Offered = true
	}
	k.mu.Unlock()
	if in.Image != nil && in.Image.Spec.Source.Upload != nil {
		in.Home = in.Image.UploadedTo(k.Node, key.Pool)
		in.Awaited = !in.Home && !homeHas(in.Image)
	}
	// Of disks that wait an object that is gone keeps none: they wait for another.
	if !in.InUse && in.Volume != nil && (in.Waiting == 0 || in.Image == nil || in.Image.DeletionTimestamp != nil) {
		in.InUse, err = k.backs(ctx, key.Pool, in.Volume.Path)
	}
	return in, err
}

// errNotRead says that the watch has yet to read the VirtualDisks.
var errNotRead = errors.New("the VirtualDisks have not been read yet")

func (k *Keeper) volume(ctx context.Context, pool, name string) (*libvirt.Volume, error) {
	v, err := k.Storage.Volume(ctx, pool, name)
	if errors.Is(err, libvirt.ErrNoVolume) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// backs says whether some volume of the pool is based on the path, whosever it is.
func (k *Keeper) backs(ctx context.Context, pool, path string) (bool, error) {
	all, err := k.Storage.Volumes(ctx, pool)
	if err != nil {
		return false, err
	}
	for i := range all {
		if path != "" && all[i].Backing == path {
			return true, nil
		}
	}
	return false, nil
}

// read asks the API server itself; nil when the image whose volume it is is no more.
func (k *Keeper) read(ctx context.Context, name types.NamespacedName, key libvirt.VolumeRef, pool *libvirt.Pool) (*v1alpha1.VirtualDiskImage, error) {
	image := &v1alpha1.VirtualDiskImage{}
	err := k.Live.Get(ctx, name, image)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading VirtualDiskImage %s: %w", name, err)
	case volumeName(image, pool, k.mark()) != key.Name:
		return nil, nil
	}
	return image, nil
}
