package libvirt_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/libvirt"
)

const gib = int64(1) << 30

// A simulated host's volumes take space, fill their pool, and outlive the process.
func TestSimulatedStorage(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "volumes.json")
	pool := libvirt.Pool{Name: "default", Type: "dir", Capacity: 10 * gib}
	open := func() libvirt.Storage {
		t.Helper()
		s, err := libvirt.SimulateStorage(file, pool)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	must(s.CreateVolume(ctx, "default", libvirt.NewVolume{Name: "a", Format: "raw", Capacity: 6 * gib, Preallocated: true}))
	is(s.CreateVolume(ctx, "default", libvirt.NewVolume{Name: "a", Capacity: gib}), libvirt.ErrVolumeExists)
	is(s.CreateVolume(ctx, "default", libvirt.NewVolume{Name: "b", Capacity: 5 * gib, Preallocated: true}), libvirt.ErrNoSpace)
	is(s.CopyVolume(ctx, "default", libvirt.NewVolume{Name: "b", Capacity: gib}, "default", "a"), libvirt.ErrNoSpace)
	is(s.CopyVolume(ctx, "default", libvirt.NewVolume{Name: "b"}, "default", "none"), libvirt.ErrNoVolume)
	is(s.CreateVolume(ctx, "none", libvirt.NewVolume{Name: "b"}), libvirt.ErrNoPool)
	is(s.CreateVolume(ctx, "none", libvirt.NewVolume{Name: "b"}), libvirt.ErrMissingResource)
	must(s.CreateVolume(ctx, "default", libvirt.NewVolume{Name: "thin", Format: "qcow2", Capacity: 50 * gib}))
	must(s.CopyVolume(ctx, "default", libvirt.NewVolume{Name: "copy", Format: "qcow2", Capacity: gib}, "default", "thin"))
	must(s.ResizeVolume(ctx, "default", "a", 7*gib))
	is(s.ResizeVolume(ctx, "default", "a", gib), libvirt.ErrUnsupported)
	must(s.DeleteVolume(ctx, "default", "thin"))
	must(s.DeleteVolume(ctx, "default", "thin"))

	s = open()
	got, err := s.Volumes(ctx, "default")
	must(err)
	want := []libvirt.Volume{
		{Name: "a", Path: "/simulated/default/a", Format: "raw", Capacity: 7 * gib, Allocation: 6 * gib},
		{Name: "copy", Path: "/simulated/default/copy", Format: "qcow2", Capacity: 50 * gib},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	pools, err := s.Pools(ctx)
	must(err)
	pool.Path, pool.Allocation, pool.Available = "/simulated/default", 6*gib, 4*gib
	if diff := cmp.Diff([]libvirt.Pool{pool}, pools); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
}

// libvirt's own storage driver, as its test driver has it, is reached the way a
// host's is.
func TestStorageThroughLibvirt(t *testing.T) {
	host := libvirt.Connect("test:///default")
	defer host.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var pools []libvirt.Pool
	for {
		var err error
		if pools, err = host.Pools(ctx); err == nil {
			break
		}
		if ctx.Err() != nil || !errors.Is(err, libvirt.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if len(pools) != 1 || pools[0].Name != "default-pool" || pools[0].Type != "dir" || pools[0].Capacity != 100*gib || pools[0].Store != "" {
		t.Fatalf("pools %+v", pools)
	}
	if err := host.CreateVolume(ctx, "default-pool", libvirt.NewVolume{Name: "v", Format: "qcow2", Capacity: gib}); err != nil {
		t.Fatal(err)
	}
	if err := host.CreateVolume(ctx, "default-pool", libvirt.NewVolume{Name: "v", Format: "qcow2", Capacity: gib}); !errors.Is(err, libvirt.ErrVolumeExists) {
		t.Errorf("made twice: %v", err)
	}
	v, err := host.Volume(ctx, "default-pool", "v")
	if err != nil || v.Capacity != gib || v.Format != "qcow2" || v.Path == "" {
		t.Errorf("volume %+v, %v", v, err)
	}
	if _, err := host.Volume(ctx, "default-pool", "none"); !errors.Is(err, libvirt.ErrNoVolume) {
		t.Errorf("a volume that is not there: %v", err)
	}
	if _, err := host.Volumes(ctx, "none"); !errors.Is(err, libvirt.ErrNoPool) {
		t.Errorf("a pool that is not there: %v", err)
	}
	for range 2 {
		if err := host.DeleteVolume(ctx, "default-pool", "v"); err != nil {
			t.Errorf("deleting: %v", err)
		}
	}
	if all, err := host.Volumes(ctx, "default-pool"); err != nil || len(all) != 0 {
		t.Errorf("left are %+v, %v", all, err)
	}
}
