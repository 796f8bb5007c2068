package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// monitorCommand is a command of QEMU's monitor protocol.
type monitorCommand struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
}

// monitorError is what QEMU says to a command that fails.
type monitorError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

// monitor tells QEMU something that libvirt 9 has no words for, and decodes its
// answer. libvirt keeps what else is done to the guest apart from it, and notes in
// its log that the guest was told something directly.
func monitor(d *lv.Domain, doing string, command monitorCommand, answer any) error {
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	said, err := d.QemuMonitorCommand(string(text), lv.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
	if err != nil {
		return err
	}
	var out struct {
		Return json.RawMessage `json:"return"`
		Error  *monitorError   `json:"error"`
	}
	if err := json.Unmarshal([]byte(said), &out); err != nil {
		return fmt.Errorf("reading what QEMU answers: %w", err)
	}
	if out.Error != nil {
		return &Error{Doing: doing, Code: int(lv.ERR_OPERATION_FAILED), Message: out.Error.Desc}
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(out.Return, answer)
}

// blockNode is what QEMU has of a disk.
type blockNode struct {
	Node     string `json:"node-name"`
	ReadOnly bool   `json:"ro"`
	Image    struct {
		Filename  string `json:"filename"`
		Snapshots []struct {
			Name string `json:"name"`
		} `json:"snapshots"`
	} `json:"image"`
}

func (n *blockNode) has(snapshot string) bool {
	for _, s := range n.Image.Snapshots {
		if s.Name == snapshot {
			return true
		}
	}
	return false
}

// nodes finds the disks of a guest that are the volumes. Errors: ErrNoVolume.
func nodes(conn *lv.Connect, d *lv.Domain, doing string, volumes []VolumeRef) ([]blockNode, error) {
	var blocks []struct {
		Inserted *blockNode `json:"inserted"`
	}
	if err := monitor(d, doing, monitorCommand{Execute: "query-block"}, &blocks); err != nil {
		return nil, err
	}
	var out []blockNode
	for _, v := range volumes {
		file, err := pathOf(conn, v)
		if err != nil {
			return nil, err
		}
		found := false
		for _, b := range blocks {
			if b.Inserted != nil && b.Inserted.Image.Filename == file && b.Inserted.Node != "" {
				out, found = append(out, *b.Inserted), true
				break
			}
		}
		if !found {
			return nil, &Error{Doing: doing, Message: "the guest has no disk that is volume " + v.Name, kind: ErrNoVolume}
		}
	}
	return out, nil
}

// pathOf is where a volume is on the host.
func pathOf(conn *lv.Connect, v VolumeRef) (string, error) {
	var file string
	err := withVolume(conn, v.Pool, v.Name, func(vol *lv.StorageVol) (err error) {
		file, err = vol.GetPath()
		return err
	})
	return file, err
}

// told runs fn on a guest that there is, for what its QEMU is told.
func (c *connection) told(ctx context.Context, uuid, doing string, fn func(*lv.Connect, *lv.Domain) error) error {
	ctx, cancel := context.WithTimeout(ctx, monitorAnswer)
	defer cancel()
	return c.operate(ctx, uuid, doing, func(conn *lv.Connect, d *lv.Domain) error {
		active, err := d.IsActive()
		if err != nil {
			return err
		}
		if !active {
			return &Error{Doing: doing, Message: "the domain does not run", kind: ErrWrongState}
		}
		return explainStorage(doing, fn(conn, d))
	})
}

// SnapshotGuest implements Host. QEMU does it in one transaction.
func (c *connection) SnapshotGuest(ctx context.Context, uuid, name string, volumes []VolumeRef) error {
	doing := fmt.Sprintf("taking snapshot %s of domain %s", name, uuid)
	return c.told(ctx, uuid, doing, func(conn *lv.Connect, d *lv.Domain) error {
		found, err := nodes(conn, d, doing, volumes)
		if err != nil {
			return err
		}
		type disk struct {
			Device string `json:"device"`
			Name   string `json:"name"`
		}
		type action struct {
			Type string `json:"type"`
			Data disk   `json:"data"`
		}
		var actions []action
		for i := range found {
			actions = append(actions, action{"blockdev-snapshot-internal-sync", disk{found[i].Node, name}})
		}
		return monitor(d, doing, monitorCommand{"transaction", map[string]any{"actions": actions}}, nil)
	})
}

// givenUp are the states in which QEMU 7.2 has given its disks up, and dies of an
// assertion when one is changed.
var givenUp = map[string]bool{"postmigrate": true, "finish-migrate": true, "inmigrate": true}

// DeleteGuestSnapshot implements Host.
func (c *connection) DeleteGuestSnapshot(ctx context.Context, uuid, name string, volume VolumeRef) error {
	doing := fmt.Sprintf("deleting snapshot %s of a disk of domain %s", name, uuid)
	return c.told(ctx, uuid, doing, func(conn *lv.Connect, d *lv.Domain) error {
		found, err := nodes(conn, d, doing, []VolumeRef{volume})
		if err != nil || !found[0].has(name) {
			return err
		}
		var now struct {
			Status string `json:"status"`
		}
		if err := monitor(d, doing, monitorCommand{Execute: "query-status"}, &now); err != nil {
			return err
		}
		if givenUp[now.Status] {
			return &Error{Doing: doing, Message: "the guest's memory has been written, and QEMU has its disks again only when the guest has gone on", kind: ErrWrongState}
		}
		return monitor(d, doing, monitorCommand{"blockdev-snapshot-delete-internal-sync", map[string]any{"device": found[0].Node, "name": name}}, nil)
	})
}

// Freeze implements Host. The agent is asked first whether it is there: what an
// agent that hangs is told waits for it, and it would bring the file systems to rest
// long after anybody lets them go on.
func (c *connection) Freeze(ctx context.Context, uuid string) error {
	if _, err := c.GuestInfo(ctx, uuid); err != nil {
		var own *Error
		if errors.As(err, &own) && (errors.Is(err, ErrAgentSilent) || errors.Is(err, ErrUnsupported)) {
			return &Error{Doing: own.Doing, Code: own.Code, Message: own.Message, kind: ErrAgentUnavailable}
		}
		return err
	}
	return c.askAgent(ctx, uuid, "bringing the file systems of domain "+uuid+" to rest", func(d *lv.Domain) error {
		if err := patience(d, agentRest); err != nil {
			return err
		}
		return d.FSFreeze(nil, 0)
	})
}

// Thaw implements Host.
func (c *connection) Thaw(ctx context.Context, uuid string) error {
	return c.askAgent(ctx, uuid, "letting the file systems of domain "+uuid+" go on", func(d *lv.Domain) error { return d.FSThaw(nil, 0) })
}

// memoryPath is where a file of a pool is on the host.
func memoryPath(conn *lv.Connect, pool, file, doing string) (string, error) {
	p, err := conn.LookupStoragePoolByName(pool)
	if err != nil {
		return "", err
	}
	defer func() { _ = p.Free() }()
	doc, err := p.GetXMLDesc(0)
	if err != nil {
		return "", err
	}
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(doc); err != nil {
		return "", err
	}
	if x.Target == nil || !path.IsAbs(x.Target.Path) || strings.Contains(file, "/") {
		return "", &Error{Doing: doing, Message: "storage pool " + pool + " is no folder", kind: ErrUnsupported}
	}
	return path.Join(x.Target.Path, file), nil
}

// WriteMemory implements Host: a snapshot of libvirt's, of the memory alone, of
// which libvirt keeps no note.
func (c *connection) WriteMemory(ctx context.Context, uuid, pool, file string) error {
	doing := "writing the memory of domain " + uuid
	return c.change(ctx, saving, uuid, doing, func(d *lv.Domain) error {
		conn, err := d.DomainGetConnect()
		if err != nil {
			return err
		}
		defer func() { _, _ = conn.Close() }()
		state, _, err := d.GetState()
		if err != nil {
			return err
		}
		if state != lv.DOMAIN_PAUSED {
			return &Error{Doing: doing, Message: "the guest is not paused", kind: ErrWrongState}
		}
		at, err := memoryPath(conn, pool, file, doing)
		if err != nil {
			return explainStorage(doing, err)
		}
		live, err := d.GetXMLDesc(0)
		if err != nil {
			return err
		}
		doc, err := memoryOnly(live, file, at)
		if err != nil {
			return err
		}
		s, err := d.CreateSnapshotXML(doc, lv.DOMAIN_SNAPSHOT_CREATE_NO_METADATA)
		if err != nil {
			return explainStorage(doing, err)
		}
		return s.Free()
	})
}

// memoryOnly is the document of a snapshot of a domain's memory and of none of its
// disks.
func memoryOnly(domain, name, file string) (string, error) {
	var d libvirtxml.Domain
	if err := d.Unmarshal(domain); err != nil {
		return "", err
	}
	out := libvirtxml.DomainSnapshot{Name: name, Memory: &libvirtxml.DomainSnapshotMemory{Snapshot: "external", File: file}, Disks: &libvirtxml.DomainSnapshotDisks{}}
	if d.Devices != nil {
		for _, disk := range d.Devices.Disks {
			if disk.Target != nil {
				out.Disks.Disks = append(out.Disks.Disks, libvirtxml.DomainSnapshotDisk{Name: disk.Target.Dev, Snapshot: "no"})
			}
		}
	}
	return out.Marshal()
}

// MemoryWritten implements Host. It goes over the connection for looking, and does
// not wait for the job that it asks about.
func (c *connection) MemoryWritten(ctx context.Context, uuid string) (int64, error) {
	return call(ctx, c, "looking at the job of domain "+uuid, func(conn *lv.Connect) (int64, error) {
		d, err := conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return 0, err
		}
		defer func() { _ = d.Free() }()
		stats, err := d.GetJobStats(0)
		if err != nil || stats.Type == lv.DOMAIN_JOB_NONE {
			return 0, err
		}
		return int64(stats.MemProcessed), nil
	})
}

// Memory implements Host.
func (c *connection) Memory(ctx context.Context, pool, file string) (string, error) {
	doing := "reading the memory in " + file
	return stored(ctx, c, doing, func(conn *lv.Connect) (string, error) {
		at, err := memoryPath(conn, pool, file, doing)
		if err != nil {
			return "", err
		}
		xml, err := conn.DomainSaveImageGetXMLDesc(at, lv.DOMAIN_SAVE_IMAGE_XML_SECURE)
		var e lv.Error
		if errors.As(err, &e) && (e.Code == lv.ERR_OPERATION_FAILED || e.Code == lv.ERR_SYSTEM_ERROR && e.Domain == lv.FROM_QEMU) {
			return "", &Error{Doing: doing, Code: int(e.Code), Message: e.Message, kind: ErrNoMemory}
		}
		return xml, err
	})
}

// StartFromMemory implements Host.
func (c *connection) StartFromMemory(ctx context.Context, uuid, pool, file, xml string) error {
	doing := "starting domain " + uuid + " from memory"
	return c.change(ctx, altering, uuid, doing, func(d *lv.Domain) error {
		return unlessActive(d, true, func() error {
			conn, err := d.DomainGetConnect()
			if err != nil {
				return err
			}
			defer func() { _, _ = conn.Close() }()
			at, err := memoryPath(conn, pool, file, doing)
			if err != nil {
				return explainStorage(doing, err)
			}
			return conn.DomainRestoreFlags(at, xml, lv.DOMAIN_SAVE_RUNNING)
		})
	})
}
