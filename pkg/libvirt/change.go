package libvirt

import (
	"context"
	"fmt"
	"sync"

	lv "libvirt.org/go/libvirt"
)

// changeKind groups changes of domains by what they may wait for.
type changeKind int

const (
	// altering starts or undefines.
	altering changeKind = iota
	// asking wants something of the guest's monitor, which a stuck QEMU never
	// answers: the call lasts until the domain is destroyed.
	asking
	// saving writes a guest's memory to disk, which takes as long as it takes, and
	// a stuck save lasts until it is aborted.
	saving
	// aborting ends a save. It asks the monitor too, and is not to wait for the
	// saves that it is to end.
	aborting
	// pinning asks the kernel and not the monitor, but waits its turn after what
	// the guest was asked: libvirt gives up after 30 s.
	pinning
	// operating is asking on behalf of a person, over a connection of its own.
	operating
	// destroying ends a guest from outside. libvirt kills a QEMU that does not
	// end by itself after 10 s, so that it does not last.
	destroying
)

// libvirtd serves 5 calls of a client at a time by default
// (max_client_requests). Stuck calls must leave some for starting other guests,
// for destroying the stuck ones and for looking.
const (
	// maxChanges is how many changes but destroys and aborts run at once.
	maxChanges = 3
	// maxAsking of those may be asking or saving.
	maxAsking = 2
	// maxAborting is how many aborts run at once beside them.
	maxAborting = 1
	// maxDestroying is how many destroys run at once beside them.
	maxDestroying = 2
	// maxOperating is how many operations run at once, beside all these where they
	// have a connection of their own; one call is left to it for looking.
	maxOperating = 4
)

// slots bounds the changes that run at once.
type slots struct{ changes, asking, aborting, destroying, operating chan struct{} }

func newSlots() slots {
	return slots{
		changes: make(chan struct{}, maxChanges), asking: make(chan struct{}, maxAsking),
		aborting: make(chan struct{}, maxAborting), destroying: make(chan struct{}, maxDestroying),
		operating: make(chan struct{}, maxOperating),
	}
}

// take waits for a slot no longer than ctx allows, and returns how to give it
// back; nil when there was none in time.
func (s slots) take(ctx context.Context, kind changeKind) func() {
	need := []chan struct{}{s.changes}
	switch kind {
	case asking, saving:
		need = []chan struct{}{s.asking, s.changes}
	case aborting:
		need = []chan struct{}{s.aborting}
	case operating:
		need = []chan struct{}{s.operating}
	case destroying:
		need = []chan struct{}{s.destroying}
	}
	for i, slot := range need {
		select {
		case slot <- struct{}{}:
		case <-ctx.Done():
			for _, taken := range need[:i] {
				<-taken
			}
			return nil
		}
	}
	return func() {
		for _, slot := range need {
			<-slot
		}
	}
}

// busy knows the domains that a call is changing. A domain whose monitor is
// stuck holds such a call for long after the caller has given up: one of a kind
// per stuck domain is enough. A destroy is refused by another destroy only, as
// it is what frees the others; nobody but a pinning and an operation waits for
// what a guest was asked, and nobody but those and what asks it for a save.
type busy struct {
	mu    sync.Mutex
	doing map[busyKey]string
}

type busyKey struct {
	uuid string
	kind changeKind
}

func (b *busy) begin(kind changeKind, uuid, doing string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	refusing := []changeKind{kind}
	if kind != destroying {
		refusing = append(refusing, destroying)
	}
	switch kind {
	case pinning, operating:
		refusing = append(refusing, asking, saving)
	case asking:
		refusing = append(refusing, saving)
	}
	for _, k := range refusing {
		if earlier, is := b.doing[busyKey{uuid, k}]; is {
			return &Error{Doing: doing, Message: fmt.Sprintf("%v: still %s", ErrTimeout, earlier), kind: ErrBusy}
		}
	}
	if b.doing == nil {
		b.doing = map[busyKey]string{}
	}
	b.doing[busyKey{uuid, kind}] = doing
	return nil
}

func (b *busy) end(kind changeKind, uuid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.doing, busyKey{uuid, kind})
}

// change runs fn on one domain beside no other change that it has to wait for.
func (c *connection) change(ctx context.Context, kind changeKind, uuid, doing string, fn func(*lv.Domain) error) error {
	s, err := c.acquire(doing)
	if err != nil {
		return err
	}
	if err := c.busy.begin(kind, uuid, doing); err != nil {
		s.release()
		return err
	}
	giveBack := c.slots.take(ctx, kind)
	if giveBack == nil {
		c.busy.end(kind, uuid)
		s.release()
		return &Error{Doing: doing, Message: ErrTimeout.Error() + ": other calls of the host's have not been answered", kind: ErrBusy}
	}
	_, err = run(ctx, s, doing, func(conn *lv.Connect) (struct{}, error) {
		defer func() {
			giveBack()
			c.busy.end(kind, uuid)
		}()
		d, err := conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = d.Free() }()
		return struct{}{}, fn(d)
	})
	return err
}
