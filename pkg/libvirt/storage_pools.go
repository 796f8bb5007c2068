package libvirt

import (
	"cmp"
	"context"
	"slices"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// storageOf is the connection for storage: copies may last for hours, and
// libvirtd serves few calls of a client at a time.
func (c *connection) storageOf() *connection {
	if c.storage != nil {
		return c.storage
	}
	return c
}

// stored runs fn against libvirt on behalf of a call about storage.
func stored[T any](ctx context.Context, c *connection, doing string, fn func(*lv.Connect) (T, error)) (T, error) {
	return call(ctx, c.storageOf(), doing, func(conn *lv.Connect) (T, error) {
		out, err := fn(conn)
		return out, explainStorage(doing, err)
	})
}

// Pools implements Host.
func (c *connection) Pools(ctx context.Context) ([]Pool, error) {
	return stored(ctx, c, "listing the storage pools", func(conn *lv.Connect) ([]Pool, error) {
		pools, err := conn.ListAllStoragePools(lv.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
		if err != nil {
			return nil, err
		}
		var out []Pool
		for i := range pools {
			doc, err := pools[i].GetXMLDesc(0)
			_ = pools[i].Free()
			if err != nil {
				continue // it was stopped meanwhile
			}
			var d libvirtxml.StoragePool
			if err := d.Unmarshal(doc); err != nil {
				return nil, err
			}
			out = append(out, poolOf(&d))
		}
		slices.SortFunc(out, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
		return out, nil
	})
}

func poolOf(d *libvirtxml.StoragePool) Pool {
	p := Pool{Name: d.Name, Type: d.Type, Store: storeOf(d)}
	if d.Target != nil {
		p.Path = d.Target.Path
	}
	size := func(s *libvirtxml.StoragePoolSize) int64 {
		if s == nil {
			return 0
		}
		return bytesOf(s.Value, s.Unit)
	}
	p.Capacity, p.Allocation, p.Available = size(d.Capacity), size(d.Allocation), size(d.Available)
	return p
}

// storeOf names a store that other hosts can have too; empty for one that is the
// host's own. Two hosts may know a server by different names: then they are taken
// to have different stores, and nothing is counted on that both have one.
func storeOf(d *libvirtxml.StoragePool) string {
	s := d.Source
	if s == nil {
		return ""
	}
	var hosts []string
	for _, h := range s.Host {
		name := h.Name
		if h.Port != "" {
			name += ":" + h.Port
		}
		hosts = append(hosts, name)
	}
	slices.Sort(hosts)
	server := strings.Join(hosts, ",")
	within := s.Name
	switch d.Type {
	case "netfs", "gluster":
		if s.Dir != nil {
			within += s.Dir.Path
		}
	case "rbd":
	case "iscsi", "iscsi-direct":
		if len(s.Device) > 0 {
			within = s.Device[0].Path
		}
	default:
		return ""
	}
	if server == "" {
		return ""
	}
	return d.Type + "://" + server + "/" + strings.TrimLeft(within, "/")
}

// bytesOf is an amount in the unit that libvirt's storage documents give it in;
// those that it writes are in bytes.
func bytesOf(value uint64, unit string) int64 {
	shift := map[string]uint{"": 0, "B": 0, "bytes": 0, "KiB": 10, "K": 10, "MiB": 20, "M": 20, "GiB": 30, "G": 30, "TiB": 40, "T": 40}[unit]
	return int64(value << shift)
}

// RefreshPool implements Host.
func (c *connection) RefreshPool(ctx context.Context, pool string) error {
	return c.onPool(ctx, pool, "refreshing storage pool "+pool, func(p *lv.StoragePool) error { return p.Refresh(0) })
}

func (c *connection) onPool(ctx context.Context, pool, doing string, fn func(*lv.StoragePool) error) error {
	_, err := stored(ctx, c, doing, func(conn *lv.Connect) (struct{}, error) {
		p, err := conn.LookupStoragePoolByName(pool)
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = p.Free() }()
		return struct{}{}, fn(p)
	})
	return err
}
