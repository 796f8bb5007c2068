package volumes

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// lookEvery is how often pools are looked at although nothing was heard:
	// nobody tells of what others write into them.
	lookEvery  = time.Minute
	lookJitter = 0.2
	// maxPools is the bound in the API's schema.
	maxPools = 64
	// lookRetry is when a look that failed is repeated.
	lookRetry = 5 * time.Second
)

// errNotRead says that the watch has yet to read the VirtualDisks; who has them
// read asks for another look.
var errNotRead = errors.New("the VirtualDisks have not been read yet")

// pools is what was last seen of the host's pools.
type pools struct {
	mu   sync.Mutex
	seen map[string]seenPool
}

type seenPool struct {
	libvirt.Pool
	// allocatable is what VirtualDisks may have of it together.
	allocatable int64
}

func (p *pools) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen != nil
}

func (p *pools) get(name string) (libvirt.Pool, int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.seen[name]
	return s.Pool, s.allocatable, ok
}

// Pools is what to say of the host's pools in its Hypervisor, which said before;
// what was said stays as long as it is about right. Before the pools were looked
// at it is what was said.
func (k *Keeper) Pools(said []v1alpha1.HostPool) []v1alpha1.HostPool {
	k.pools.mu.Lock()
	defer k.pools.mu.Unlock()
	if k.pools.seen == nil {
		return said
	}
	before := map[string]v1alpha1.HostPool{}
	for _, p := range said {
		before[p.Name] = p
	}
	var out []v1alpha1.HostPool
	for _, name := range slices.Sorted(maps.Keys(k.pools.seen)) {
		s := k.pools.seen[name]
		was := int64(0)
		if b, ok := before[name]; ok && b.Type == s.Type && b.Store == s.Store && b.Capacity == s.Capacity {
			was = b.Allocatable
		}
		out = append(out, v1alpha1.HostPool{
			Name: name, Type: s.Type, Store: s.Store, Capacity: s.Capacity, Allocatable: steadyRoom(was, s.allocatable, s.Capacity),
		})
	}
	return out[:min(len(out), maxPools)]
}

// followPools looks at the pools now and then, and whenever asked.
func (k *Keeper) followPools(ctx context.Context) {
	next := k.Clock.NewTimer(wait.Jitter(lookEvery, lookJitter))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.looking:
		case <-next.C():
		}
		err := k.LookAtPools(ctx)
		if err == nil && !k.swept.Load() && k.mark() != "" {
			err = k.Sweep(ctx)
		}
		if err == nil {
			k.tidyArrivals(ctx)
			k.tidyExports(ctx)
		}
		pause := wait.Jitter(lookEvery, lookJitter)
		if err != nil && !errors.Is(err, errNotRead) && !errors.Is(err, libvirt.ErrUnavailable) && ctx.Err() == nil {
			pause = lookRetry
			klog.FromContext(ctx).Info("Looking at the storage pools failed and is repeated", keyError, err.Error())
		}
		next.Reset(pause)
	}
}

// LookAtPools takes over how much space there is, and has disks looked at of which
// that says something new.
func (k *Keeper) LookAtPools(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*lookTimeout)
	defer cancel()
	disks, all := k.Disks.Disks(ctx)
	if !all {
		return errNotRead
	}
	named, err := k.Storage.Pools(ctx)
	if err != nil {
		return err
	}
	for _, p := range named {
		if err := k.Storage.RefreshPool(ctx, p.Name); err != nil && !errors.Is(err, libvirt.ErrPoolBusy) {
			// One that cannot be looked into any more is as good as none.
			klog.FromContext(ctx).Info("A storage pool could not be looked into", keyPool, p.Name, keyError, err.Error())
		}
	}
	if named, err = k.Storage.Pools(ctx); err != nil {
		return err
	}
	seen, found := make(map[string]seenPool, len(named)), make(map[string][]libvirt.Volume, len(named))
	made := map[types.UID]int64{}
	for _, p := range named {
		volumes, err := k.Storage.Volumes(ctx, p.Name)
		if errors.Is(err, libvirt.ErrNoPool) {
			continue
		}
		if err != nil {
			return err
		}
		seen[p.Name] = seenPool{Pool: p, allocatable: p.Available + taken(p, volumes, k.namesIn(p.Name, disks)) - k.Images.Promised(p.Name)}
		found[p.Name] = volumes
		k.lookAtVolumes(p, volumes, disks, made)
	}
	k.ledger.saw(made)
	k.pools.mu.Lock()
	first, changed := k.pools.seen == nil, len(seen) != len(k.pools.seen)
	for name, s := range seen {
		was, ok := k.pools.seen[name]
		changed = changed || !ok || was.Type != s.Type || was.Store != s.Store || was.Capacity != s.Capacity || was.allocatable != s.allocatable
	}
	k.pools.seen = seen
	k.pools.mu.Unlock()
	for name, s := range seen {
		k.Images.Saw(s.Pool, found[name])
	}
	if changed {
		k.PoolsChanged()
	}
	if first || changed {
		for _, d := range disks {
			if first || !Ready(d) || d.Spec.Size != nil && d.Spec.Size.Value() > d.Status.Capacity {
				k.Enqueue(client.ObjectKeyFromObject(d))
			}
		}
	}
	return nil
}

// namesIn are the names of the volumes that VirtualDisks have, or are to have, in a
// pool of the host.
func (k *Keeper) namesIn(pool string, disks []*v1alpha1.VirtualDisk) map[string]bool {
	names := map[string]bool{}
	for _, d := range disks {
		if to := d.Status.MoveTo; d.Pool() == pool || to != nil && to.NodeName == k.Node && to.PoolName == pool {
			names[d.VolumeName()] = true
		}
	}
	for _, in := range k.arrivals.all() {
		if in.pool == pool {
			names[in.volume] = true
		}
	}
	return names
}

// taken is what the volumes of VirtualDisks, of which names are known, take of a
// pool. In a store that other hosts have too the others are told by their names.
func taken(p libvirt.Pool, volumes []libvirt.Volume, known map[string]bool) (bytes int64) {
	for _, v := range volumes {
		_, _, looks := diskOf(v.Name)
		if known[v.Name] || p.Store != "" && looks {
			bytes += v.Allocation
		}
	}
	return bytes
}

// lookAtVolumes has the disks looked at of whose volumes something else is said
// than is so, and notes how large each is.
func (k *Keeper) lookAtVolumes(pool libvirt.Pool, volumes []libvirt.Volume, disks []*v1alpha1.VirtualDisk, made map[types.UID]int64) {
	there := make(map[string]libvirt.Volume, len(volumes))
	for _, v := range volumes {
		there[v.Name] = v
	}
	for _, d := range disks {
		if d.Pool() != pool.Name {
			continue
		}
		v, ok := there[d.VolumeName()]
		if ok {
			v, _ = asOwn(d, pool.Type, v)
			made[d.UID] = v.Capacity
		}
		if d.Status.VolumeName == "" || d.Status.MoveTo != nil {
			continue
		}
		s := &d.Status
		if ok != Ready(d) || ok && (v.Capacity != s.Capacity || steadyAllocation(s.Allocation, v.Allocation, v.Capacity) != s.Allocation) {
			k.Enqueue(types.NamespacedName{Namespace: d.Namespace, Name: d.Name})
		}
	}
}

// Sweep removes what is left of volumes that were being made, here and by us, for
// disks that are no more, and has the others looked at.
func (k *Keeper) Sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	named, err := k.Storage.Pools(ctx)
	if err != nil {
		return err
	}
	for _, p := range named {
		volumes, err := k.Storage.Volumes(ctx, p.Name)
		if err != nil {
			return err
		}
		var names []string
		for _, v := range volumes {
			names = append(names, v.Name)
		}
		for _, name := range names {
			if volume, _, is := strings.Cut(name, k.exportSuffix()); is {
				if _, _, ours := diskOf(volume); !ours || k.exports.has(types.UID(p.Name+"/"+name)) {
					continue
				}
				if err := k.Storage.DeleteVolume(ctx, p.Name, name); err != nil {
					return err
				}
			}
		}
		for _, volume := range marked(names, k.mark()) {
			if err := k.sweep(ctx, p.Name, volume); err != nil {
				return err
			}
		}
	}
	k.swept.Store(true)
	return nil
}

func (k *Keeper) sweep(ctx context.Context, pool, volume string) error {
	namespace, name, _ := diskOf(volume)
	key := types.NamespacedName{Namespace: namespace, Name: name}
	disk, err := k.read(ctx, key)
	if err != nil {
		return err
	}
	if disk != nil && disk.VolumeName() == volume && disk.Status.NodeName == k.Node && disk.Pool() == pool {
		k.Enqueue(key)
		return nil
	}
	if disk != nil && disk.VolumeName() == volume && disk.Status.Leaving() && disk.Status.MoveTo.NodeName == k.Node && disk.Status.MoveTo.PoolName == pool {
		return nil // it is all there is of a disk that will be at home here
	}
	klog.FromContext(ctx).Info("Removing what is left of a volume that was being made", keyPool, pool, "volume", volume)
	if err := k.Storage.DeleteVolume(ctx, pool, volume); err != nil {
		return err
	}
	return k.Storage.DeleteVolume(ctx, pool, volume+k.mark())
}
