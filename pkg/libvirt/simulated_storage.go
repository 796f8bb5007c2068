package libvirt

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"sync"
)

// simulatedStorage are pools whose volumes are names and sizes. libvirt's test
// driver has volumes that can neither be resized nor filled, and all of its pools
// are of one size; here volumes take space as they would if they were written
// nowhere. The host's own outlive the process, as a disk does; a store that
// several simulated hosts of the process have is one.
type simulatedStorage struct {
	pools     map[string]*simulatedPool
	snapshots *simulatedSnapshots
}

type simulatedPool struct {
	Pool
	*simulatedStore
}

// simulatedStore is where volumes are.
type simulatedStore struct {
	mu      sync.Mutex
	volumes map[string]Volume
	// save keeps the volumes; nil where nothing is kept.
	save func() error
}

// sharedStores are those of the process, by Pool.Store.
var sharedStores sync.Map

// simulateStorage makes the pools, with the volumes that file has of them.
func simulateStorage(file string, pools []Pool) (simulatedStorage, error) {
	s := simulatedStorage{pools: map[string]*simulatedPool{}}
	beside := ""
	if file != "" {
		beside = file + ".snapshots"
	}
	var err error
	if s.snapshots, err = simulateSnapshots(beside); err != nil {
		return s, err
	}
	kept := map[string]map[string]Volume{}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return s, fmt.Errorf("reading its volumes: %w", err)
	default:
		if err := json.Unmarshal(data, &kept); err != nil {
			return s, fmt.Errorf("reading its volumes: %w", err)
		}
	}
	own := map[string]*simulatedStore{}
	var saving sync.Mutex
	for _, p := range pools {
		if p.Path == "" {
			p.Path = "/simulated/" + p.Name
		}
		if p.Store != "" {
			store, _ := sharedStores.LoadOrStore(p.Store, &simulatedStore{volumes: map[string]Volume{}})
			s.pools[p.Name] = &simulatedPool{Pool: p, simulatedStore: store.(*simulatedStore)}
			continue
		}
		store := &simulatedStore{volumes: kept[p.Name]}
		if store.volumes == nil {
			store.volumes = map[string]Volume{}
		}
		own[p.Name] = store
		name := p.Name
		store.save = func() error { // store.mu is held
			saving.Lock()
			defer saving.Unlock()
			kept[name] = maps.Clone(store.volumes)
			return replaceFile(file, kept)
		}
		s.pools[p.Name] = &simulatedPool{Pool: p, simulatedStore: store}
	}
	return s, nil
}

// replaceFile writes v as JSON: the old file or the new one is there, whole.
func replaceFile(file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o640); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// now is the pool with its space as it is; mu is held.
func (p *simulatedPool) now() Pool {
	out := p.Pool
	out.Allocation = 0
	for _, v := range p.volumes {
		out.Allocation += v.Allocation
	}
	out.Available = max(out.Capacity-out.Allocation, 0)
	return out
}

func (s simulatedStorage) pool(name, doing string) (*simulatedPool, error) {
	if p, ok := s.pools[name]; ok {
		return p, nil
	}
	return nil, &Error{Doing: doing, Message: "there is no storage pool " + name, kind: ErrNoPool}
}

// Pools implements Host.
func (s simulatedStorage) Pools(context.Context) ([]Pool, error) {
	var out []Pool
	for _, name := range slices.Sorted(maps.Keys(s.pools)) {
		p := s.pools[name]
		p.mu.Lock()
		out = append(out, p.now())
		p.mu.Unlock()
	}
	return out, nil
}

// RefreshPool implements Host.
func (s simulatedStorage) RefreshPool(_ context.Context, pool string) error {
	_, err := s.pool(pool, "refreshing storage pool "+pool)
	return err
}

// Volumes implements Host.
func (s simulatedStorage) Volumes(_ context.Context, pool string) ([]Volume, error) {
	p, err := s.pool(pool, "listing the volumes of storage pool "+pool)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.volumes), func(a, b Volume) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// Volume implements Host.
func (s simulatedStorage) Volume(_ context.Context, pool, name string) (Volume, error) {
	doing := "looking for volume " + name
	p, err := s.pool(pool, doing)
	if err != nil {
		return Volume{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.volumes[name]
	if !ok {
		return Volume{}, noVolume(doing, name)
	}
	return v, nil
}

func noVolume(doing, name string) error {
	return &Error{Doing: doing, Message: "there is no volume " + name, kind: ErrNoVolume}
}

// add stores a volume that takes allocation, if there is room.
func (p *simulatedPool) add(doing string, n NewVolume, allocation int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.volumes[n.Name]; ok {
		return &Error{Doing: doing, Message: "there is a volume " + n.Name, kind: ErrVolumeExists}
	}
	if n.Preallocated {
		allocation = n.Capacity
	}
	if allocation > p.now().Available {
		return &Error{Doing: doing, Message: "the storage pool is full", kind: ErrNoSpace}
	}
	p.volumes[n.Name] = Volume{
		Name: n.Name, Path: path.Join(p.Path, n.Name), Format: n.Format, Capacity: n.Capacity, Allocation: allocation, Backing: n.Backing,
	}
	return p.keep(func() { delete(p.volumes, n.Name) })
}

// keep saves what has changed, or has undo take it back.
func (s *simulatedStore) keep(undo func()) error {
	if s.save == nil {
		return nil
	}
	if err := s.save(); err != nil {
		undo()
		return fmt.Errorf("keeping the volumes of a simulated host: %w", err)
	}
	return nil
}

// CreateVolume implements Host.
func (s simulatedStorage) CreateVolume(_ context.Context, pool string, v NewVolume) error {
	doing := "creating volume " + v.Name
	p, err := s.pool(pool, doing)
	if err != nil {
		return err
	}
	return p.add(doing, v, 0)
}

// CopyVolume implements Host. The copy takes what its source takes.
func (s simulatedStorage) CopyVolume(ctx context.Context, pool string, v NewVolume, fromPool, from string) error {
	doing := fmt.Sprintf("copying volume %s to %s", from, v.Name)
	source, err := s.Volume(ctx, fromPool, from)
	if err != nil {
		return err
	}
	p, err := s.pool(pool, doing)
	if err != nil {
		return err
	}
	v.Capacity = max(v.Capacity, source.Capacity)
	return p.add(doing, v, source.Allocation)
}

// ResizeVolume implements Host.
func (s simulatedStorage) ResizeVolume(_ context.Context, pool, name string, capacity int64) error {
	doing := "resizing volume " + name
	p, err := s.pool(pool, doing)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.volumes[name]
	switch {
	case !ok:
		return noVolume(doing, name)
	case capacity < v.Capacity:
		return &Error{Doing: doing, Message: "a volume cannot shrink", kind: ErrUnsupported}
	}
	was := v
	v.Capacity = capacity
	p.volumes[name] = v
	return p.keep(func() { p.volumes[name] = was })
}

// GrowDisk implements Host.
func (s *simulated) GrowDisk(ctx context.Context, uuid, pool, name string, capacity int64) error {
	d, err := s.Domain(ctx, uuid)
	if err != nil {
		return err
	}
	if !d.State.Active() {
		return &Error{Doing: "growing volume " + name, Message: "the domain does not run", kind: ErrWrongState}
	}
	return s.ResizeVolume(ctx, pool, name, capacity)
}

// DeleteVolume implements Host.
func (s simulatedStorage) DeleteVolume(_ context.Context, pool, name string) error {
	p, err := s.pool(pool, "deleting volume "+name)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	was, ok := p.volumes[name]
	if !ok {
		return nil
	}
	if err := s.snapshots.change(func(names map[string][]string) error {
		delete(names, snapshotKey(VolumeRef{Pool: pool, Name: name}))
		return nil
	}); err != nil {
		return err
	}
	delete(p.volumes, name)
	return p.keep(func() { p.volumes[name] = was })
}

// Upload implements Host: there is nowhere to keep bytes.
func (s simulatedStorage) Upload(context.Context, string, string, io.Reader, int64) error {
	return &Error{Doing: "uploading to a volume", Message: "a simulated host keeps no content of volumes", kind: ErrUnsupported}
}

// Append implements Host: bytes take space and are forgotten, but for what the first
// of them say of the volume, as libvirt looks at a file's.
func (s simulatedStorage) Append(_ context.Context, pool, name string, offset int64, from io.Reader) error {
	doing := "writing to volume " + name
	p, err := s.pool(pool, doing)
	if err != nil {
		return err
	}
	for head := true; ; head = false {
		buffer := make([]byte, 1<<20)
		n, err := io.ReadFull(from, buffer)
		if n > 0 {
			if err := p.extend(doing, name, offset, buffer[:n], head && offset == 0); err != nil {
				return err
			}
			offset += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// extend has the volume take the space of data at offset.
func (p *simulatedPool) extend(doing, name string, offset int64, data []byte, head bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.volumes[name]
	if !ok {
		return noVolume(doing, name)
	}
	was, end := v, offset+int64(len(data))
	if more := end - v.Allocation; more > 0 {
		if more > p.now().Available {
			return &Error{Doing: doing, Message: "the storage pool is full", kind: ErrNoSpace}
		}
		v.Allocation = end
	}
	v.Length = max(v.Length, end)
	if head && len(data) >= 32 && string(data[:4]) == "QFI\xfb" {
		v.Format, v.Capacity = FormatQCOW2, int64(binary.BigEndian.Uint64(data[24:]))
	}
	if v.Format == FormatRaw {
		v.Capacity = max(v.Capacity, v.Length)
	}
	p.volumes[name] = v
	return p.keep(func() { p.volumes[name] = was })
}

// Download implements Host.
func (s simulatedStorage) Download(context.Context, string, string, io.Writer) error {
	return &Error{Doing: "downloading a volume", Message: "a simulated host keeps no content of volumes", kind: ErrUnsupported}
}

// SimulatedStorage is what a simulated host has of storage.
type SimulatedStorage interface {
	Storage
	Snapshots
}

// SimulateStorage returns pools without a host around them: GrowDisk resizes,
// whichever domain it is asked of. See Simulate.
func SimulateStorage(file string, pools ...Pool) (SimulatedStorage, error) {
	s, err := simulateStorage(file, pools)
	if err != nil {
		return nil, err
	}
	return hostless{s}, nil
}

type hostless struct{ simulatedStorage }

// GrowDisk implements Storage.
func (h hostless) GrowDisk(ctx context.Context, _, pool, name string, capacity int64) error {
	return h.ResizeVolume(ctx, pool, name, capacity)
}
