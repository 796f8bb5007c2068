package cni

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/libcni"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/executor/cni/netspace"
	"domus.dev/domus/pkg/executor/cni/wire"
)

// work is what is done for one card while its VM's turn and lock are held.
type work struct {
	*Manager
	situation
	uid    types.UID
	name   string // the card's
	wanted Attachment
	lock   *lock
}

// holding has f work while it has the VM's turn and lock.
func (m *Manager) holding(ctx context.Context, uid types.UID, f func(*lock) error) error {
	m.collecting.RLock()
	defer m.collecting.RUnlock()
	done, err := m.turns.take(ctx, uid)
	if err != nil {
		return fmt.Errorf("waiting for the turn of VM %s: %w", uid, err)
	}
	defer done()
	waiting, cancel := context.WithTimeout(ctx, m.options.Timeout)
	defer cancel()
	l, err := acquire(waiting, m.locks(), uid)
	if err != nil {
		return err
	}
	defer func() {
		left, err := m.records.cards(uid)
		l.release(err == nil && len(left) == 0)
	}()
	return f(l)
}

// work has f work for a card, and returns what its record says afterwards.
func (m *Manager) work(ctx context.Context, uid types.UID, card string, f func(*work) error, result *Result) error {
	return m.holding(ctx, uid, func(l *lock) (err error) {
		w := &work{Manager: m, uid: uid, name: card, lock: l}
		if w.record, err = m.records.read(uid, card); err != nil {
			return err
		}
		if w.card, err = look(w.space(), w.names().card); err != nil {
			return err
		}
		if err := f(w); err != nil {
			return err
		}
		if result != nil {
			*result = w.record.Result
		}
		return nil
	})
}

func (w *work) space() string { return spaceOf(w.options.SpaceDir, w.uid) }
func (w *work) names() names  { return namesOf(w.uid, w.name) }

// carryOut does steps in order. When one of making a card fails, what was made is
// removed; what cannot be removed now keeps its record and is found again.
func (w *work) carryOut(ctx context.Context, steps []step) error {
	begun := false
	for _, s := range steps {
		begun = begun || s == stepIntend
		start := time.Now()
		err := w.do(ctx, s)
		w.log.V(2).Info("Carried out a step", keyStep, s, keyUID, w.uid, keyCard, w.name, keyTook, time.Since(start), "err", err)
		if err == nil {
			continue
		}
		if begun && w.record != nil {
			// The caller's time may be over; undoing has its own.
			undo := context.WithoutCancel(ctx)
			for _, s := range toDetach(w.situation) {
				if failed := w.do(undo, s); failed != nil {
					return errors.Join(err, fmt.Errorf("undoing it: %w; it is tried again", failed))
				}
			}
		}
		return err
	}
	return nil
}

func (w *work) do(ctx context.Context, s step) error {
	switch s {
	case stepRelease:
		return w.release(ctx)
	case stepIntend:
		return w.intend()
	case stepSpace:
		return netspace.Create(w.space())
	case stepAdd:
		return w.add(ctx)
	case stepWire:
		return w.wire().Ensure()
	case stepSettle:
		w.record.Settled = true
		return w.records.write(w.record)
	case stepServe:
		if w.wanted.Hostname != "" && w.record.Attachment.Hostname != w.wanted.Hostname {
			w.record.Attachment.Hostname = w.wanted.Hostname
			if err := w.records.write(w.record); err != nil {
				return err
			}
		}
		return w.serve(w.record)
	case stepStrike:
		return w.strike()
	}
	return fmt.Errorf("unknown step %q", s)
}

// intend writes down the attachment with the configuration as it is now.
func (w *work) intend() error {
	var list *libcni.NetworkConfigList
	var err error
	if w.wanted.Config != nil {
		list, err = parse(w.wanted.Config, w.wanted.Network)
	} else {
		list, err = load(w.options.ConfigDir, w.wanted.Network)
	}
	if err != nil {
		return err
	}
	if err := fit(list); err != nil {
		return err
	}
	config, err := inlined(list)
	if err != nil {
		return err
	}
	w.record = &record{Attachment: w.wanted, Config: config, Inline: w.wanted.Config != nil, Since: time.Now()}
	return w.records.write(w.record)
}

// add has the plugins make the card, and looks at what they made.
func (w *work) add(ctx context.Context) error {
	list, err := parse(w.record.Config, w.record.Attachment.Network)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	answer, err := w.cni().AddNetworkList(ctx, list, w.runtime())
	if err != nil {
		return failure(ctx, "ADD", list.Name, err)
	}
	said, err := types100.NewResultFromResult(answer)
	if err != nil {
		return fmt.Errorf("CNI ADD on %s: %w: reading what it answered: %w", list.Name, ErrPlugin, err)
	}
	var wanted net.HardwareAddr
	if w.record.Attachment.MAC != "" {
		wanted, _ = net.ParseMAC(w.record.Attachment.MAC) // it was validated
	}
	// Plugins that cannot be told an address are helped.
	mac, err := wire.SetMAC(w.space(), w.names().card, wanted)
	if err == nil {
		err = correct(w.cachePath(list.Name), w.space(), w.names().card, mac.String())
	}
	if err != nil {
		return fmt.Errorf("CNI ADD on %s: %w: %w", list.Name, ErrPlugin, err)
	}
	if w.card, err = look(w.space(), w.names().card); err != nil {
		return err
	}
	if w.card == nil {
		return fmt.Errorf("CNI ADD on %s: %w: %s", list.Name, ErrGone, w.names().card)
	}
	r := translate(*w.card, said)
	r.Tap, r.Space, r.Interface = w.names().tap, w.space(), w.names().card
	w.record.Result = r
	return nil
}

// release removes what there may be of a card. It is written down first: whoever
// comes after a crash must not take half of it for a card.
func (w *work) release(ctx context.Context) error {
	if w.record.Settled {
		w.record.Settled = false
		if err := w.records.write(w.record); err != nil {
			return err
		}
	}
	w.hush(w.uid, w.name)
	if err := w.wire().Remove(); err != nil {
		return err
	}
	list, err := parse(w.record.Config, w.record.Attachment.Network)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	runtime := w.runtime()
	there, err := netspace.Exists(w.space())
	if err != nil {
		return err
	}
	if !there {
		runtime.NetNS = "" // gone with a reboot (CNI's specification, DEL)
	}
	err = w.cni().DelNetworkList(ctx, list, runtime)
	if err != nil && ctx.Err() == nil {
		// After an ADD that was cut short some plugins stumble over what is not there
		// (bridge with ipMasq: its chain), but have removed the card and given the
		// address back by then: the second time they find nothing to be done.
		err = w.cni().DelNetworkList(ctx, list, runtime)
	}
	if err != nil {
		return failure(ctx, "DEL", list.Name, err)
	}
	w.card = nil
	return nil
}

// strike removes the namespace with the VM's last card, and then the record: what
// has no record is not there.
func (w *work) strike() error {
	cards, err := w.records.cards(w.uid)
	if err != nil {
		return err
	}
	if len(cards) <= 1 {
		if err := netspace.Remove(w.space()); err != nil {
			return err
		}
	}
	if err := w.records.strike(w.uid, w.name); err != nil {
		return err
	}
	w.record = nil
	return nil
}

// wire leads the guest's frames.
func (w *work) wire() wire.Wire {
	n := w.names()
	mac, _ := net.ParseMAC(w.record.Result.MAC) // not set before there is a card
	_, served := leaseOf(w.record)
	return wire.Wire{
		HostSpace: w.options.HostSpace, Space: w.space(),
		Tap: n.tap, Outer: n.outer, Inner: n.inner, Card: n.card, Alias: alias(w.uid, w.name),
		MAC: mac, Served: served, Queues: queues(w.record.Attachment),
	}
}

// runtime is what plugins are told of the card. A pod's names are what those that
// write logs or policies look for; where they are unknown they are to be ignored.
func (w *work) runtime() *libcni.RuntimeConf {
	a := w.record.Attachment
	rt := &libcni.RuntimeConf{
		ContainerID: string(a.UID),
		NetNS:       w.space(),
		IfName:      w.names().card,
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", a.Namespace},
			{"K8S_POD_NAME", a.Name},
			{"K8S_POD_INFRA_CONTAINER_ID", string(a.UID)},
			{"K8S_POD_UID", string(a.UID)},
		},
	}
	if a.MAC != "" {
		rt.Args = append(rt.Args, [2]string{"MAC", a.MAC})
		rt.CapabilityArgs = map[string]any{"mac": a.MAC}
	}
	return rt
}

// cachePath is where libcni keeps what the plugins answered.
func (w *work) cachePath(network string) string {
	return filepath.Join(w.options.StateDir, "cache", "results", network+"-"+string(w.uid)+"-"+w.names().card)
}

func (w *work) cni() *libcni.CNIConfig { return w.Manager.cni(w.lock.file) }

// cni is libcni with the host's plugins. lock is handed to them.
func (m *Manager) cni(lock *os.File) *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir(m.options.PluginDirs, filepath.Join(m.options.StateDir, "cache"), &runner{
		space: m.options.HostSpace, lock: lock,
	})
}

// valid are the attachments to a network that plugins are to keep.
func valid(cards []Card, network string) *libcni.GCArgs {
	args := &libcni.GCArgs{ValidAttachments: []cnitypes.GCAttachment{}}
	for _, c := range cards {
		if c.Network == network {
			args.ValidAttachments = append(args.ValidAttachments, cnitypes.GCAttachment{
				ContainerID: string(c.UID), IfName: cardName(c.Card),
			})
		}
	}
	return args
}
