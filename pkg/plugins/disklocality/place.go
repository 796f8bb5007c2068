package disklocality

import (
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// place is what space is promised of: a store that several hosts have, or else a
// pool of one host.
type place struct{ store, node, pool string }

func placeIn(node string, pool *v1alpha1.HostPool) place {
	if pool.Store != "" {
		return place{store: pool.Store}
	}
	return place{node: node, pool: pool.Name}
}

// homeOf is where the disk's volume is or will be; false for a disk without home.
func homeOf(d *v1alpha1.VirtualDisk) (place, bool) {
	switch {
	case d.Status.NodeName == "":
		return place{}, false
	case d.Status.Store != "":
		return place{store: d.Status.Store}, true
	}
	return place{node: d.Status.NodeName, pool: d.Pool()}, true
}

// targetOf is where the disk is being moved to; false for one that is not, or that
// stays in its place.
func targetOf(d *v1alpha1.VirtualDisk) (place, bool) {
	to := d.Status.MoveTo
	if to == nil {
		return place{}, false
	}
	at := place{node: to.NodeName, pool: to.PoolName}
	if to.Store != "" {
		at = place{store: to.Store}
	}
	home, _ := homeOf(d)
	return at, at != home
}

// poolOf is the host's pool of the name; nil when it has none that is active.
func poolOf(hv *v1alpha1.Hypervisor, name string) *v1alpha1.HostPool {
	for i := range hv.Status.Pools {
		if p := &hv.Status.Pools[i]; p.Name == name {
			return p
		}
	}
	return nil
}

// hasStoreOf says whether the disk is in a store that the host has too.
func hasStoreOf(hv *v1alpha1.Hypervisor, disk *v1alpha1.VirtualDisk) bool {
	p := poolOf(hv, disk.Pool())
	return disk.Status.Store != "" && p != nil && p.Store == disk.Status.Store
}

// promise is what Reserve holds of a disk and the disk does not show yet.
type promise struct {
	// vm is the projected Pod that is being bound, and name its VM; empty once the
	// scheduler has seen that bound, or it failed. Of a disk that many may read it is
	// the last one of them.
	vm   types.UID
	name string
	// node is the host that it is being bound to.
	node string
	// at is where bytes are held; none once the disk shows its home.
	at    place
	bytes int64
	// writes counts those that may have stored the disk's home, or may yet.
	writes int
	// moving says that bytes are for a disk that has a home, and is to be moved.
	moving bool
}
