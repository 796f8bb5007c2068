package cni

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"

	"github.com/containernetworking/cni/libcni"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/executor/cni/dhcp"
)

// Keys of structured log lines.
const (
	keyUID     = "uid"
	keyCard    = "card"
	keyNetwork = "network"
	keyStep    = "step"
	keyTook    = "took"
)

// Manager gives a host's VMs their cards. Its methods may be called at once; for one
// VM they take turns. A host has one.
type Manager struct {
	options Options
	log     logr.Logger
	records book
	turns   turns

	// collecting is held for writing while plugins are told which attachments there
	// are, so that none is being added meanwhile.
	collecting sync.RWMutex

	mu      sync.Mutex
	servers map[string]*server // by key

	// refused is what was logged of configurations that are not offered, by file.
	refused map[string]string
}

// server is what answers a guest, and what it says.
type server struct {
	*dhcp.Server
	says string
}

func (m *Manager) locks() string { return filepath.Join(m.options.StateDir, "locks") }

// New checks the options and does nothing else.
func New(options Options, log logr.Logger) (*Manager, error) {
	options = options.defaulted()
	if err := options.validate(); err != nil {
		return nil, err
	}
	return &Manager{
		options: options, log: log,
		records: book{dir: filepath.Join(options.StateDir, "cards")},
		servers: map[string]*server{},
	}, nil
}

// Attach gives a VM a card, or finds the one that it has and makes good what is
// missing. It is to be called before each start of the guest: after a reboot of the
// host the card is another. An error leaves nothing, or what is found again; Reason
// sorts it.
func (m *Manager) Attach(ctx context.Context, a Attachment) (Result, error) {
	if err := a.validate(); err != nil {
		return Result{}, err
	}
	if err := m.options.permit(a); err != nil {
		return Result{}, err
	}
	var result Result
	err := m.work(ctx, a.UID, a.Card, func(w *work) error {
		w.wanted = a
		return w.carryOut(ctx, toAttach(a, w.situation))
	}, &result)
	return result, err
}

// Standing says whether Attach has nothing to make, and so takes no longer than a
// look: no plugin is asked.
func (m *Manager) Standing(a Attachment) (bool, error) {
	r, err := m.records.read(a.UID, a.Card)
	if err != nil || r == nil {
		return false, err
	}
	card, err := look(spaceOf(m.options.SpaceDir, a.UID), namesOf(a.UID, a.Card).card)
	if err != nil {
		return false, err
	}
	return toAttach(a, situation{record: r, card: card})[0] == stepWire, nil
}

// Offered are the names of the host's configurations that VMs can use, in order. Why a
// file is passed over is logged when that is new. It is for one caller at a time.
func (m *Manager) Offered() ([]string, error) {
	names, refused, err := offered(m.options)
	if err != nil {
		return nil, err
	}
	said := make(map[string]string, len(refused))
	for file, why := range refused {
		said[file] = why.Error()
		if m.refused[file] != said[file] {
			m.log.Info("A CNI configuration is not offered to VMs until it is mended", "file", file, "err", said[file])
		}
	}
	m.refused = said
	return names, nil
}

// Detach takes a VM's card away and gives its addresses back. It is no error when
// there is none.
func (m *Manager) Detach(ctx context.Context, uid types.UID, card string) error {
	if !identifier.MatchString(string(uid)) || !label.MatchString(card) {
		return fmt.Errorf("%w: uid %q, card %q", ErrInvalid, uid, card)
	}
	if known, err := m.records.read(uid, card); err == nil && known == nil {
		return nil
	}
	return m.work(ctx, uid, card, func(w *work) error {
		return w.carryOut(ctx, toDetach(w.situation))
	}, nil)
}

// Check asks the plugins whether a card is as they made it (CNI's CHECK). ErrGone is
// one that is not there.
func (m *Manager) Check(ctx context.Context, uid types.UID, card string) error {
	return m.work(ctx, uid, card, func(w *work) error {
		if w.record == nil || !w.record.Settled || w.card == nil {
			return fmt.Errorf("%w: %s", ErrGone, key(uid, card))
		}
		list, err := parse(w.record.Config, w.record.Attachment.Network)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, m.options.Timeout)
		defer cancel()
		err = w.cni().CheckNetworkList(ctx, list, w.runtime())
		if errors.Is(err, libcni.ErrorCheckNotSupp) {
			return nil
		}
		return failure(ctx, "CHECK", list.Name, err)
	}, nil)
}

// Card is one that there is a record of.
type Card struct {
	Attachment
	// Attached is false for one whose making or removing was cut short.
	Attached bool
	Result   Result
}

// Known is a card that there is a record of; false when there is none.
func (m *Manager) Known(uid types.UID, card string) (Card, bool, error) {
	r, err := m.records.read(uid, card)
	if err != nil || r == nil {
		return Card{}, false, err
	}
	return r.card(), true, nil
}

// Cards are all that there is a record of.
func (m *Manager) Cards() ([]Card, error) {
	uids, err := m.records.vms()
	if err != nil {
		return nil, err
	}
	var cards []Card
	for _, uid := range uids {
		names, err := m.records.cards(uid)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			r, err := m.records.read(uid, name)
			if err != nil {
				return nil, err
			}
			if r != nil {
				cards = append(cards, r.card())
			}
		}
	}
	return cards, nil
}

// Resume answers the guests again after vm-executor was restarted, and makes good
// what of their wires is missing.
func (m *Manager) Resume(ctx context.Context) error {
	cards, err := m.Cards()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range cards {
		errs = append(errs, m.work(ctx, c.UID, c.Card, func(w *work) error {
			return w.carryOut(ctx, toResume(w.situation))
		}, nil))
	}
	return errors.Join(errs...)
}

// Sweep removes all cards but those that keep names: those of VMs that are gone, and
// what a crash or a reboot left of them. Each is tried, whatever becomes of others.
func (m *Manager) Sweep(ctx context.Context, keep func(uid types.UID, card string) bool) error {
	cards, err := m.Cards()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range cards {
		if keep(c.UID, c.Card) {
			continue
		}
		if err := m.Detach(ctx, c.UID, c.Card); err != nil {
			errs = append(errs, fmt.Errorf("%w (recorded in %s)", err, m.records.file(c.UID, c.Card)))
		}
	}
	errs = append(errs, m.tidy(ctx))
	return errors.Join(append(errs, m.collect(ctx))...)
}

// tidy removes what a crash leaves of VMs that have no record: drafts of one, and
// locks.
func (m *Manager) tidy(ctx context.Context) error {
	uids, err := m.records.vms()
	if err != nil {
		return err
	}
	locks, err := locked(m.locks())
	if err != nil {
		return err
	}
	uids = append(uids, locks...)
	slices.Sort(uids)
	var errs []error
	for _, uid := range slices.Compact(uids) {
		if left, err := m.records.cards(uid); err != nil || len(left) > 0 {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, m.holding(ctx, uid, func(*lock) error { return m.records.tidy(uid) }))
	}
	return errors.Join(errs...)
}

// collect has the plugins of exclusive networks forget all attachments that there is
// no record of (CNI's GC).
func (m *Manager) collect(ctx context.Context) error {
	if len(m.options.Exclusive) == 0 {
		return nil
	}
	m.collecting.Lock()
	defer m.collecting.Unlock()
	cards, err := m.Cards()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range m.options.Exclusive {
		list, err := load(m.options.ConfigDir, name)
		if errors.Is(err, ErrNoNetwork) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, m.options.Timeout)
		err = m.cni(nil).GCNetworkList(ctx, list, valid(cards, name))
		errs = append(errs, failure(ctx, "GC", name, err))
		cancel()
	}
	return errors.Join(errs...)
}

// Close ends what answers guests. Their frames go on.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.servers {
		s.Close()
		delete(m.servers, key)
	}
}

// serve answers for the card that a record is of, if it is not done already.
func (m *Manager) serve(r *record) error {
	a := r.Attachment
	at := key(a.UID, a.Card)
	lease, served := leaseOf(r)
	if !served {
		m.hush(a.UID, a.Card)
		return nil
	}
	says := fmt.Sprintf("%+v", lease)
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, is := m.servers[at]; is {
		select {
		case <-s.Done(): // its interface was replaced
		default:
			if s.says == says {
				return nil
			}
		}
		s.Close()
		delete(m.servers, at)
	}
	log := m.log.WithValues(keyUID, a.UID, keyCard, a.Card)
	s, err := dhcp.Serve(r.Result.Space, namesOf(a.UID, a.Card).inner, lease, func(err error) {
		log.Info("A guest's question for its address was not answered", "err", err.Error())
	})
	if err != nil {
		return err
	}
	m.servers[at] = &server{Server: s, says: says}
	return nil
}

// hush ends what answers for a card.
func (m *Manager) hush(uid types.UID, card string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, is := m.servers[key(uid, card)]; is {
		s.Close()
		delete(m.servers, key(uid, card))
	}
}

// leaseOf is what a guest is told by DHCP; false where its network gives out no
// address of IPv4, or the network itself does.
func leaseOf(r *record) (dhcp.Lease, bool) {
	address := r.Result.IPv4()
	mac, err := net.ParseMAC(r.Result.MAC)
	if !address.IsValid() || err != nil {
		return dhcp.Lease{}, false
	}
	l := dhcp.Lease{
		MAC: mac, Address: address, Router: r.Result.Gateway(false), Hostname: r.Attachment.Hostname,
		Domain: r.Result.DNS.Domain, Search: r.Result.DNS.Search, MTU: r.Result.MTU,
	}
	for _, route := range r.Result.Routes {
		if route.To.Addr().Is4() {
			l.Routes = append(l.Routes, dhcp.Route{To: route.To, Via: route.Via})
		}
	}
	l.DNS = slices.DeleteFunc(slices.Clone(r.Result.DNS.Nameservers), netip.Addr.Is6)
	return l, true
}
