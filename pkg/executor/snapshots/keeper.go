package snapshots

import (
	"context"
	"errors"
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

	"domus.dev/domus/pkg/api/snapshotstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/turns"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A turn that fails is repeated after firstTurnRetry, doubling up to
	// lastTurnRetry.
	firstTurnRetry = 250 * time.Millisecond
	lastTurnRetry  = time.Minute
	// maxRounds bounds the looks of one turn.
	maxRounds = 30
	// lookTimeout is for calls that only read.
	lookTimeout = 30 * time.Second
	// changeTimeout is for what is done to the disks of one VM: QEMU and qemu-img
	// change the counts of all clusters of a disk, which of terabytes takes minutes.
	changeTimeout = 10 * time.Minute
	// holdTimeout is how long a VM's turn may take to end before a job begins.
	holdTimeout = time.Minute
)

// Keys of structured log lines.
const (
	keyVM       = "virtualMachine"
	keySnapshot = "virtualMachineSnapshot"
	keyStep     = "step"
	keyError    = "err"
)

// Snapshots are those of this host, as a watch has them. Objects are not to be
// changed.
type Snapshots interface {
	// SnapshotsOf lists those of a VM, in no order; false while the watch has not read
	// them all.
	SnapshotsOf(ctx context.Context, vm types.NamespacedName) ([]*v1alpha1.VirtualMachineSnapshot, bool)
}

// Guests are the VMs of the host.
type Guests interface {
	// Guest looks at what there is of the VM here.
	Guest(ctx context.Context, vm *v1alpha1.VirtualMachine) (Guest, error)
	// User is the domain whose guest has the volume; empty where none runs with it.
	User(volume libvirt.VolumeRef) string
	// Occupy keeps the VM's own turns from all but switching its guest off until
	// release is called. It waits for a turn, and for a save of the guest, to end.
	Occupy(ctx context.Context, vm types.NamespacedName) (release func(), err error)
	// Alter begins a change of the disks' volumes, which nobody copies, moves or
	// exports before release is called; false where somebody does now, as Copied says
	// of one.
	Alter(disks ...types.UID) (release func(), ok bool)
	Copied(disk types.UID) bool
	// Operates says whether an operation of the VM, which is not over, is there.
	Operates(ctx context.Context, vm types.NamespacedName, operation types.UID) bool
	// Deadline is how long writing the VM's memory may take.
	Deadline(vm *v1alpha1.VirtualMachine) time.Duration
}

// Host is what a libvirt does for snapshots.
type Host interface {
	libvirt.Snapshots
	Suspend(ctx context.Context, uuid string) error
	Resume(ctx context.Context, uuid string) error
	AbortJob(ctx context.Context, uuid string) error
	RefreshPool(ctx context.Context, pool string) error
	DeleteVolume(ctx context.Context, pool, name string) error
	Volume(ctx context.Context, pool, name string) (libvirt.Volume, error)
}

// Options is what a Keeper works with.
type Options struct {
	Node string
	Host Host
	// Live reads and writes the API server without a cache.
	Live client.Client
	// Snapshots may be nil: then there are none.
	Snapshots Snapshots
	Guests    Guests
	Recorder  events.EventRecorder
	Clock     clock.WithTicker
	// Changed is called with a VM whose turn may have something to do.
	Changed func(types.NamespacedName)
}

// Keeper looks after the snapshots of one host: of each VM one at a time, beside the
// VM's own turns.
type Keeper struct {
	Options
	queue workqueue.TypedRateLimitingInterface[types.NamespacedName]

	mu sync.Mutex
	// works are what is kept of each snapshot between turns, by its UID.
	works map[types.UID]*Memory
	// waiting are VMs of which a snapshot is not as it should be.
	waiting map[types.NamespacedName]bool
	// restoring are restores that this process has begun or has found, by the
	// snapshot's UID: a cache may not have heard of them.
	restoring map[types.NamespacedName]types.UID

	progressEvery time.Duration
}

// New returns a Keeper that does nothing before Run.
func New(o Options) *Keeper {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstTurnRetry, lastTurnRetry)
	return &Keeper{
		Options: o, works: map[types.UID]*Memory{}, waiting: map[types.NamespacedName]bool{},
		restoring: map[types.NamespacedName]types.UID{}, progressEvery: progressEvery,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "snapshots-" + o.Node, Clock: o.Clock}),
	}
}

// Enqueue asks for a turn of the snapshots of a VM.
func (k *Keeper) Enqueue(vm types.NamespacedName) { k.queue.Add(vm) }

// Stir has the snapshots of a VM looked at if any is not as it should be: the VM has
// changed.
func (k *Keeper) Stir(vm types.NamespacedName) {
	k.mu.Lock()
	waits := k.waiting[vm]
	k.mu.Unlock()
	if waits {
		k.queue.Add(vm)
	}
}

// Run looks after the snapshots until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		k.queue.ShutDown()
	}()
	turns.Give(k.queue, func(key types.NamespacedName) {
		logger := klog.FromContext(ctx).WithValues(keyVM, key)
		after, err := k.Turn(klog.NewContext(ctx, logger), key)
		if err != nil && ctx.Err() == nil {
			logger.Info("A turn of a VM's snapshots failed and is repeated", keyError, err.Error())
		}
		turns.Settle(k.queue, key, after, err)
	})
}

// Turn brings the snapshots of a VM a step closer, and says when to look again.
func (k *Keeper) Turn(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	for range maxRounds {
		again, after, err := k.round(ctx, key)
		if errors.Is(err, snapshotstatus.ErrStale) || apierrors.IsNotFound(err) {
			continue // it is read anew
		}
		if err != nil || !again {
			return after, err
		}
	}
	return time.Second, nil
}

// round looks at the snapshots of a VM that are not as they should be, in their
// order, and does what the first has to be done.
func (k *Keeper) round(ctx context.Context, key types.NamespacedName) (again bool, after time.Duration, err error) {
	all, err := k.open(ctx, key)
	if err != nil {
		return false, 0, err
	}
	k.mu.Lock()
	if len(all) == 0 {
		delete(k.waiting, key)
	} else {
		k.waiting[key] = true
	}
	k.mu.Unlock()
	if len(all) == 0 {
		return false, 0, nil
	}
	in, err := k.common(ctx, key, all)
	if err != nil {
		return false, 0, err
	}
	for _, s := range all {
		in.Snapshot, in.Memory = s, *k.memory(s.UID)
		in.Asked = s.Status.Restoring != nil && k.Guests.Operates(ctx, key, s.Status.Restoring.OperationUID)
		d := Plan(in)
		if err := k.carryOut(ctx, key, in, d); err != nil {
			return false, 0, err
		}
		if d.Again || len(d.Steps) > 0 {
			return true, 0, nil // what was done may have changed others
		}
		if d.RequeueAfter > 0 && (after == 0 || d.RequeueAfter < after) {
			after = d.RequeueAfter
		}
	}
	return false, after, nil
}

// open reads the snapshots of a VM that are not as they should be: a restore that
// has begun first, then what is deleted, then what is to be made, the oldest first.
func (k *Keeper) open(ctx context.Context, key types.NamespacedName) ([]*v1alpha1.VirtualMachineSnapshot, error) {
	if k.Snapshots == nil {
		return nil, nil
	}
	known, _ := k.Snapshots.SnapshotsOf(ctx, key)
	var out []*v1alpha1.VirtualMachineSnapshot
	for _, s := range known {
		if settled(s) && !k.restores(key, s.UID) {
			continue
		}
		live, err := k.read(ctx, client.ObjectKeyFromObject(s))
		if err != nil {
			return nil, err
		}
		if live != nil && live.UID == s.UID && !settled(live) {
			out = append(out, live)
		}
		if live != nil && live.Status.Restoring == nil {
			k.restored(key, live.UID)
		}
	}
	rank := func(s *v1alpha1.VirtualMachineSnapshot) int {
		switch {
		case s.Status.Restoring != nil:
			return 0
		case s.DeletionTimestamp != nil:
			return 1
		}
		return 2
	}
	slices.SortFunc(out, func(a, b *v1alpha1.VirtualMachineSnapshot) int {
		if by := rank(a) - rank(b); by != 0 {
			return by
		}
		if by := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); by != 0 {
			return by
		}
		return slices.Compare([]byte(a.Name), []byte(b.Name))
	})
	return out, nil
}

// settled says whether nothing is to be done about a snapshot.
func settled(s *v1alpha1.VirtualMachineSnapshot) bool {
	switch {
	case s.Status.Restoring != nil:
		return false
	case s.DeletionTimestamp != nil:
		return !hasFinalizer(s)
	case s.Status.Phase == v1alpha1.SnapshotFailed:
		// One that was lost may be in some of its disks.
		return !hasFinalizer(s) || len(s.Status.Disks) > 0
	}
	return s.Status.Phase == v1alpha1.SnapshotReady
}

// common is what Plan is told of the VM, for each of its snapshots.
func (k *Keeper) common(ctx context.Context, key types.NamespacedName, open []*v1alpha1.VirtualMachineSnapshot) (Situation, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	in := Situation{Node: k.Node, Now: k.Clock.Now()}
	in.Restoring = slices.ContainsFunc(open, func(s *v1alpha1.VirtualMachineSnapshot) bool { return s.Status.Restoring != nil })
	vm := &v1alpha1.VirtualMachine{}
	err := k.Live.Get(ctx, key, vm)
	if apierrors.IsNotFound(err) {
		return in, nil
	}
	if err != nil {
		return in, fmt.Errorf("reading VirtualMachine %s: %w", key, err)
	}
	in.VM = vm
	if in.Guest, err = k.Guests.Guest(ctx, vm); err != nil {
		return in, err
	}
	in.Disks, err = k.disks(ctx, vm)
	return in, err
}

// disks reads the disks that the VM's spec names.
func (k *Keeper) disks(ctx context.Context, vm *v1alpha1.VirtualMachine) ([]Disk, error) {
	var out []Disk
	for i := range vm.Spec.Disks {
		if vm.Spec.Disks[i].DiskName == "" {
			continue // a tray with nothing in it
		}
		d := Disk{Spec: &vm.Spec.Disks[i], Object: &v1alpha1.VirtualDisk{}}
		err := k.Live.Get(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: d.Spec.DiskName}, d.Object)
		switch {
		case apierrors.IsNotFound(err):
			d.Object = nil
		case err != nil:
			return nil, fmt.Errorf("reading VirtualDisk %s/%s: %w", vm.Namespace, d.Spec.DiskName, err)
		default:
			d.Copied = k.Guests.Copied(d.Object.UID)
		}
		out = append(out, d)
	}
	return out, nil
}

// read asks the API server itself; nil when there is no such snapshot.
func (k *Keeper) read(ctx context.Context, key types.NamespacedName) (*v1alpha1.VirtualMachineSnapshot, error) {
	s := &v1alpha1.VirtualMachineSnapshot{}
	err := k.Live.Get(ctx, key, s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading VirtualMachineSnapshot %s: %w", key, err)
	}
	return s, nil
}

func (k *Keeper) memory(uid types.UID) *Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.works[uid]
	if m == nil {
		m = &Memory{Snapshot: uid}
		k.works[uid] = m
	}
	return m
}

func (k *Keeper) forget(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.works, uid)
}

func (k *Keeper) restores(vm types.NamespacedName, snapshot types.UID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.restoring[vm] == snapshot
}

func (k *Keeper) restored(vm types.NamespacedName, snapshot types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.restoring[vm] == snapshot {
		delete(k.restoring, vm)
	}
}
