package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
)

// simulatedSnapshots are the names of snapshots in simulated volumes, which have no
// content. They outlive the process as the volumes do.
type simulatedSnapshots struct {
	file string
	mu   sync.Mutex
	// names are by pool and volume.
	names map[string][]string
}

func simulateSnapshots(file string) (*simulatedSnapshots, error) {
	s := &simulatedSnapshots{file: file, names: map[string][]string{}}
	if file == "" {
		return s, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s.names)
	}
	if err != nil {
		return nil, fmt.Errorf("reading its snapshots: %w", err)
	}
	return s, nil
}

func snapshotKey(v VolumeRef) string { return v.Pool + "/" + v.Name }

// change has fn change the snapshots, and keeps them.
func (s *simulatedSnapshots) change(fn func(map[string][]string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.names)
	if err := fn(next); err != nil {
		return err
	}
	if s.file != "" {
		if err := replaceFile(s.file, next); err != nil {
			return fmt.Errorf("keeping the snapshots of a simulated host: %w", err)
		}
	}
	s.names = next
	return nil
}

// of lists the snapshots of a volume that is there.
func (s simulatedStorage) of(ctx context.Context, v VolumeRef, names map[string][]string) ([]string, error) {
	if _, err := s.Volume(ctx, v.Pool, v.Name); err != nil {
		return nil, err
	}
	return names[snapshotKey(v)], nil
}

// VolumeSnapshots implements Host.
func (s simulatedStorage) VolumeSnapshots(ctx context.Context, pool, volume string) ([]string, error) {
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	return s.of(ctx, VolumeRef{Pool: pool, Name: volume}, s.snapshots.names)
}

// SnapshotVolumes implements Host.
func (s simulatedStorage) SnapshotVolumes(ctx context.Context, name string, volumes []VolumeRef) error {
	return s.snapshots.change(func(names map[string][]string) error {
		for _, v := range volumes {
			has, err := s.of(ctx, v, names)
			if err != nil {
				return err
			}
			if slices.Contains(has, name) {
				return &Error{Doing: "taking snapshot " + name, Message: "volume " + v.Name + " has such a snapshot", kind: ErrVolumeExists}
			}
			names[snapshotKey(v)] = append(slices.Clone(has), name)
		}
		return nil
	})
}

// RevertVolumes implements Host: there is no content to go back to.
func (s simulatedStorage) RevertVolumes(ctx context.Context, name string, volumes []VolumeRef) error {
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	for _, v := range volumes {
		has, err := s.of(ctx, v, s.snapshots.names)
		if err != nil {
			return err
		}
		if !slices.Contains(has, name) {
			return &Error{Doing: "going back to snapshot " + name, Message: "volume " + v.Name + " has no such snapshot"}
		}
	}
	return nil
}

// DeleteVolumeSnapshots implements Host.
func (s simulatedStorage) DeleteVolumeSnapshots(ctx context.Context, name string, volumes []VolumeRef) error {
	return s.snapshots.change(func(names map[string][]string) error {
		for _, v := range volumes {
			has, err := s.of(ctx, v, names)
			if err != nil {
				return err
			}
			names[snapshotKey(v)] = slices.DeleteFunc(slices.Clone(has), func(n string) bool { return n == name })
		}
		return nil
	})
}

// SnapshotGuest implements Host.
func (s simulatedStorage) SnapshotGuest(ctx context.Context, _, name string, volumes []VolumeRef) error {
	return s.SnapshotVolumes(ctx, name, volumes)
}

// DeleteGuestSnapshot implements Host.
func (s simulatedStorage) DeleteGuestSnapshot(ctx context.Context, _, name string, volume VolumeRef) error {
	return s.DeleteVolumeSnapshots(ctx, name, []VolumeRef{volume})
}

// Freeze implements Host.
func (s simulatedStorage) Freeze(_ context.Context, uuid string) error {
	return noAgent("asking the agent of domain " + uuid)
}

// Thaw implements Host.
func (s simulatedStorage) Thaw(_ context.Context, uuid string) error {
	return noAgent("asking the agent of domain " + uuid)
}

func noGuest(doing string) error {
	return &Error{Doing: doing, Message: "on a simulated host no guest runs, and none has memory", kind: ErrUnsupported}
}

// WriteMemory implements Host.
func (s simulatedStorage) WriteMemory(_ context.Context, uuid, _, _ string) error {
	return noGuest("writing the memory of domain " + uuid)
}

// MemoryWritten implements Host.
func (s simulatedStorage) MemoryWritten(context.Context, string) (int64, error) { return 0, nil }

// Memory implements Host.
func (s simulatedStorage) Memory(_ context.Context, _, file string) (string, error) {
	return "", &Error{Doing: "reading the memory in " + file, Message: "there is no such file", kind: ErrNoMemory}
}

// StartFromMemory implements Host.
func (s simulatedStorage) StartFromMemory(_ context.Context, uuid, _, _, _ string) error {
	return noGuest("starting domain " + uuid + " from memory")
}
