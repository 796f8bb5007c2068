package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	lv "libvirt.org/go/libvirt"
)

// Kind is a kind of libvirt document, by the name of its root element.
type Kind string

// Kinds that a libvirt can be asked for.
const (
	KindDomain   Kind = "domain"
	KindNetwork  Kind = "network"
	KindPool     Kind = "pool"
	KindVolume   Kind = "volume"
	KindSnapshot Kind = "domainsnapshot"
)

// Document is what a libvirt has defined under one name.
type Document struct {
	Kind Kind
	Name string
	// UUID is empty for volumes and snapshots, which have none.
	UUID string
	// Parent is the name of a volume's pool and of a snapshot's domain.
	Parent string
	// XML is what libvirt would go by at the next start, without what a user
	// without rights to write may not see, such as VNC passwords. It is empty
	// when Err is set.
	XML string
	// Active says that it runs, or is started, now.
	Active bool
	// Saved says that the memory of a domain's guest is saved on the host.
	Saved bool
	// Transient says that it is gone once it is stopped.
	Transient bool
	// Err is why this one cannot be told.
	Err error
}

// Inquiry says what Inventory is to return.
type Inquiry struct {
	Kinds []Kind
	// Domains are names or UUIDs; empty means all. Snapshots are those of these
	// domains.
	Domains []string
}

func (i Inquiry) wants(k Kind) bool { return slices.Contains(i.Kinds, k) }

// Inventory lists what the libvirt at uri has defined, by kind in the order of
// the constants and within a kind by name. It opens a connection that cannot
// change anything, and closes it. A kind that the driver at uri does not know has
// nothing to list. With an error of a single document the others are returned.
// Errors: ErrUnavailable, ErrNotFound for a domain that was asked for by name,
// ErrTimeout when ctx ends first.
func Inventory(ctx context.Context, uri string, q Inquiry) ([]Document, error) {
	doing := "listing what " + uri + " has"
	type result struct {
		documents []Document
		err       error
	}
	results := make(chan result, 1)
	go func() {
		documents, err := inventory(uri, q)
		results <- result{documents, explain(doing, err)}
	}()
	select {
	case r := <-results:
		return r.documents, r.err
	case <-ctx.Done():
		return nil, timedOut(ctx, doing)
	}
}

func inventory(uri string, q Inquiry) ([]Document, error) {
	conn, err := lv.NewConnectReadOnly(uri)
	if err != nil {
		err = explain("connecting to "+uri, err)
		var e *Error
		if errors.As(err, &e) {
			e.kind = ErrUnavailable // whatever was in the way
		}
		return nil, err
	}
	defer func() { _, _ = conn.Close() }()
	var out []Document
	if q.wants(KindDomain) || q.wants(KindSnapshot) {
		domains, snapshots, err := inventoryDomains(conn, q)
		if err != nil {
			return nil, err
		}
		if q.wants(KindDomain) {
			out = append(out, domains...)
		}
		out = append(out, snapshots...)
	}
	for _, list := range []func(*lv.Connect, Inquiry) ([]Document, error){inventoryNetworks, inventoryPools} {
		documents, err := list(conn, q)
		if err != nil && !errors.Is(err, ErrUnsupported) {
			return nil, err
		}
		out = append(out, documents...)
	}
	order := []Kind{KindDomain, KindNetwork, KindPool, KindVolume, KindSnapshot}
	slices.SortStableFunc(out, func(a, b Document) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)),
			cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	})
	return out, nil
}

func inventoryDomains(conn *lv.Connect, q Inquiry) (domains, snapshots []Document, err error) {
	all, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, nil, explain("listing domains", err)
	}
	defer free(all, (*lv.Domain).Free)
	found := map[string]bool{}
	for i := range all {
		d := &all[i]
		doc := Document{Kind: KindDomain}
		if doc.Name, err = d.GetName(); err != nil {
			continue // it has gone since it was listed
		}
		if doc.UUID, err = d.GetUUIDString(); err != nil {
			continue
		}
		if len(q.Domains) > 0 {
			asked := []string{doc.Name, doc.UUID}
			if !slices.ContainsFunc(q.Domains, func(name string) bool { return slices.Contains(asked, strings.ToLower(name)) || name == doc.Name }) {
				continue
			}
			found[doc.Name], found[doc.UUID] = true, true
		}
		doc.XML, doc.Err = d.GetXMLDesc(lv.DOMAIN_XML_INACTIVE)
		doc.Err = explain("reading the XML of domain "+doc.Name, doc.Err)
		doc.Active, _ = d.IsActive()
		doc.Saved, _ = d.HasManagedSaveImage(0)
		persistent, err := d.IsPersistent()
		doc.Transient = err == nil && !persistent
		domains = append(domains, doc)
		if q.wants(KindSnapshot) {
			snapshots = append(snapshots, inventorySnapshots(d, doc.Name)...)
		}
	}
	for _, name := range q.Domains {
		if !found[name] && !found[strings.ToLower(name)] {
			return nil, nil, &Error{Doing: "looking for domain " + name, Message: fmt.Sprintf("there is none of this name or UUID among %d", len(all)), kind: ErrNotFound}
		}
	}
	return domains, snapshots, nil
}

// inventorySnapshots is empty where the driver has no snapshots.
func inventorySnapshots(d *lv.Domain, domain string) []Document {
	all, err := d.ListAllSnapshots(0)
	if err != nil {
		if err = explain("listing the snapshots of domain "+domain, err); errors.Is(err, ErrUnsupported) {
			return nil
		}
		return []Document{{Kind: KindSnapshot, Parent: domain, Err: err}}
	}
	defer free(all, (*lv.DomainSnapshot).Free)
	var out []Document
	for i := range all {
		doc := Document{Kind: KindSnapshot, Parent: domain}
		if doc.Name, err = all[i].GetName(); err != nil {
			continue
		}
		doc.XML, doc.Err = all[i].GetXMLDesc(0)
		doc.Err = explain("reading the XML of snapshot "+doc.Name+" of domain "+domain, doc.Err)
		out = append(out, doc)
	}
	return out
}

func inventoryNetworks(conn *lv.Connect, q Inquiry) ([]Document, error) {
	if !q.wants(KindNetwork) {
		return nil, nil
	}
	all, err := conn.ListAllNetworks(0)
	if err != nil {
		return nil, explain("listing networks", err)
	}
	defer free(all, (*lv.Network).Free)
	var out []Document
	for i := range all {
		n := &all[i]
		doc := Document{Kind: KindNetwork}
		if doc.Name, err = n.GetName(); err != nil {
			continue
		}
		doc.UUID, _ = n.GetUUIDString()
		doc.Active, _ = n.IsActive()
		persistent, err := n.IsPersistent()
		doc.Transient = err == nil && !persistent
		doc.XML, doc.Err = nextStart(lv.NETWORK_XML_INACTIVE, n.GetXMLDesc)
		doc.Err = explain("reading the XML of network "+doc.Name, doc.Err)
		out = append(out, doc)
	}
	return out, nil
}

// inventoryPools returns pools, and their volumes. Only pools that are started
// tell of their volumes.
func inventoryPools(conn *lv.Connect, q Inquiry) ([]Document, error) {
	if !q.wants(KindPool) && !q.wants(KindVolume) {
		return nil, nil
	}
	all, err := conn.ListAllStoragePools(0)
	if err != nil {
		return nil, explain("listing storage pools", err)
	}
	defer free(all, (*lv.StoragePool).Free)
	var out []Document
	for i := range all {
		p := &all[i]
		doc := Document{Kind: KindPool}
		if doc.Name, err = p.GetName(); err != nil {
			continue
		}
		doc.UUID, _ = p.GetUUIDString()
		doc.Active, _ = p.IsActive()
		persistent, err := p.IsPersistent()
		doc.Transient = err == nil && !persistent
		if q.wants(KindPool) {
			doc.XML, doc.Err = nextStart(lv.STORAGE_XML_INACTIVE, p.GetXMLDesc)
			doc.Err = explain("reading the XML of storage pool "+doc.Name, doc.Err)
			out = append(out, doc)
		}
		if q.wants(KindVolume) && doc.Active {
			out = append(out, inventoryVolumes(p, doc.Name)...)
		}
	}
	return out, nil
}

func inventoryVolumes(p *lv.StoragePool, pool string) []Document {
	all, err := p.ListAllStorageVolumes(0)
	if err != nil {
		return []Document{{Kind: KindVolume, Parent: pool, Err: explain("listing the volumes of storage pool "+pool, err)}}
	}
	defer free(all, (*lv.StorageVol).Free)
	var out []Document
	for i := range all {
		doc := Document{Kind: KindVolume, Parent: pool, Active: true}
		if doc.Name, err = all[i].GetName(); err != nil {
			continue
		}
		doc.XML, doc.Err = all[i].GetXMLDesc(0)
		doc.Err = explain("reading the XML of volume "+doc.Name+" in pool "+pool, doc.Err)
		out = append(out, doc)
	}
	return out
}

// nextStart asks for what counts at the next start, and where the driver does not
// tell that from what is there now, for that.
func nextStart[F ~uint32 | ~int32 | ~uint | ~int](flag F, xml func(F) (string, error)) (string, error) {
	doc, err := xml(flag)
	var e lv.Error
	if errors.As(err, &e) && (e.Code == lv.ERR_INVALID_ARG || e.Code == lv.ERR_ARGUMENT_UNSUPPORTED) {
		return xml(0)
	}
	return doc, err
}

// free gives libvirt's objects back.
func free[T any](all []T, release func(*T) error) {
	for i := range all {
		_ = release(&all[i])
	}
}
