package executor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/executor/networks/networkstest"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// fakeHost is a libvirt in memory. Every change passes through step, which may
// refuse it before or after it took effect.
type fakeHost struct {
	libvirt.SimulatedStorage
	libvirt.Metering
	*networkstest.Host
	cards       fakeCards
	mu          sync.Mutex
	description libvirt.Description
	domains     map[string]libvirt.Domain
	free        []libvirt.CellFree
	away        bool
	startErr    error
	defineErr   error
	done        []string
	step        func(what string) (before, after error)
	events      chan libvirt.Event
	// documents are what was defined, in order.
	documents []string
	// destroyErr is what destroying fails with, stuck keeps requests to shut
	// down unanswered.
	destroyErr error
	stuck      bool
	// dead: QEMU cannot have a paused guest go on.
	dead bool
	// deaf guests do not react to ACPI.
	deaf bool
	// saveErr is what a save fails with, and restoreErr what a start does that
	// goes on from one. A save that hangs lasts until it is aborted, which fails
	// with abortErr.
	saveErr, restoreErr, abortErr error
	hangs                         bool
	aborted                       chan struct{}
	// plugErr is what plugging vCPUs in fails with; without a balloon driver guests
	// keep the memory they have.
	plugErr   error
	noBalloon bool
	// operateErr is what operations fail with, picture and counters are what they
	// find.
	operateErr error
	picture    libvirt.Picture
	counters   libvirt.Counters
	// channel is how guests begin with their agent's channel, ids counts starts,
	// and guestInfo answers for agents.
	channel   libvirt.AgentState
	ids       int
	guestInfo func(uuid string) (libvirt.GuestInfo, error)
	// attachErr is what plugging disks in fails with; guests that keep disks do not
	// give them up, and those that have locked a tray do not open it. defined are the
	// disks in the definition of the VM that tests are about, by alias.
	attachErr     error
	keeps, locked bool
	defined       map[string]libvirt.Disk
}

func newFakeHost() *fakeHost {
	storage, err := libvirt.SimulateStorage("", libvirt.Pool{Name: "default", Type: "dir", Store: "netfs://test/" + uuid.NewString(), Capacity: 100 << 30})
	if err != nil {
		panic(err)
	}
	return &fakeHost{
		SimulatedStorage: storage, Host: networkstest.New(),
		description: libvirt.Description{
			Arch: "x86_64", CPUs: 4, Memory: 8 << 30, Cells: []libvirt.Cell{{CPUs: "0-3", Memory: 8 << 30}},
			DomainTypes:    []libvirt.DomainType{{Type: "kvm", Arch: "x86_64"}, {Type: "qemu", Arch: "x86_64", Machines: []string{"pc-q35-7.2"}}},
			LibvirtVersion: "9.0.0", HypervisorVersion: "7.2.0",
		},
		domains: map[string]libvirt.Domain{},
		step:    func(string) (error, error) { return nil, nil },
		events:  make(chan libvirt.Event, 100),
	}
}

func (h *fakeHost) change(what string, fn func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return libvirt.ErrUnavailable
	}
	before, after := h.step(what)
	if before != nil {
		return before
	}
	h.done = append(h.done, what)
	if err := fn(); err != nil {
		return err
	}
	return after
}

func (h *fakeHost) Describe(context.Context) (libvirt.Description, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return libvirt.Description{}, libvirt.ErrUnavailable
	}
	return h.description, nil
}

func (h *fakeHost) FreePages(context.Context) ([]libvirt.CellFree, error) { return h.free, nil }

// Pin keeps what it is asked for in the domain's binding.
func (h *fakeHost) Pin(_ context.Context, uuid string, vcpus map[int]string, emulator string) error {
	return h.change("pin "+uuid, func() error {
		d, ok := h.domains[uuid]
		if !ok {
			return libvirt.ErrNotFound
		}
		if !d.State.Active() {
			return nil
		}
		pins := maps.Clone(d.Binding.VCPUs)
		if pins == nil {
			pins = map[int]string{}
		}
		maps.Copy(pins, vcpus)
		d.Binding.VCPUs = pins
		if emulator != "" {
			d.Binding.Emulator = emulator
			d.Binding.IOThreads = slices.Clone(d.Binding.IOThreads)
			for i := range d.Binding.IOThreads {
				d.Binding.IOThreads[i] = emulator
			}
		}
		h.domains[uuid] = d
		return nil
	})
}

func (h *fakeHost) Domains(context.Context) ([]libvirt.Domain, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []libvirt.Domain
	for _, d := range h.domains {
		out = append(out, d)
	}
	return out, nil
}

func (h *fakeHost) Domain(_ context.Context, uuid string) (libvirt.Domain, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return libvirt.Domain{}, libvirt.ErrUnavailable
	}
	d, ok := h.domains[uuid]
	if !ok {
		return d, libvirt.ErrNotFound
	}
	return d, nil
}

func (h *fakeHost) Define(_ context.Context, xml string) error {
	return h.change("define", func() error {
		if h.defineErr != nil {
			return h.defineErr
		}
		var d libvirtxml.Domain
		if err := d.Unmarshal(xml); err != nil {
			return err
		}
		for _, other := range h.domains {
			if (other.Name == d.Name) != (other.UUID == d.UUID) {
				return libvirt.ErrAlreadyExists
			}
		}
		was := h.domains[d.UUID]
		if was.Reason == "" {
			was.Reason = libvirt.ReasonNotStarted
		}
		vcpus, current := int64(d.VCPU.Value), int64(d.Memory.Value)<<10
		if d.VCPU.Current != 0 {
			vcpus = int64(d.VCPU.Current)
		}
		if d.CurrentMemory != nil {
			current = int64(d.CurrentMemory.Value) << 10
		}
		// As libvirt does, what was said of the domain's end stays, and so does its
		// saved memory.
		h.domains[d.UUID] = libvirt.Domain{
			Name: d.Name, UUID: d.UUID, State: libvirt.StateShutOff, Reason: was.Reason, Saved: was.Saved,
			Metadata: d.Metadata.XML, CPU: int64(d.VCPU.Value), VCPUs: vcpus, Memory: int64(d.Memory.Value) << 10, CurrentMemory: current, Binding: bindingOf(&d), Cards: cardsIn(&d),
			Firmware: libvirt.FirmwareState{UEFI: d.OS.Firmware == "efi", TPM: len(d.Devices.TPMs) > 0},
		}
		h.defined = map[string]libvirt.Disk{}
		var disks []libvirt.Disk
		for i := range d.Devices.Disks {
			disks = append(disks, diskOf(&d.Devices.Disks[i]))
			h.defined[disks[i].Alias] = disks[i]
		}
		h.setDisks(d.UUID, disks)
		h.documents = append(h.documents, xml)
		return nil
	})
}

// bindingOf reads the pins of a domain.
func bindingOf(d *libvirtxml.Domain) (b libvirt.Binding) {
	if d.CPUTune == nil {
		return b
	}
	for _, pin := range d.CPUTune.VCPUPin {
		if b.VCPUs == nil {
			b.VCPUs = map[int]string{}
		}
		b.VCPUs[int(pin.VCPU)] = pin.CPUSet
	}
	if e := d.CPUTune.EmulatorPin; e != nil {
		b.Emulator = e.CPUSet
	}
	return b
}

func (h *fakeHost) set(uuid string, state libvirt.State, reason string) error {
	d, ok := h.domains[uuid]
	if !ok {
		return libvirt.ErrNotFound
	}
	d.State, d.Reason = state, reason
	if !state.Active() {
		d.ID, d.Agent = 0, libvirt.AgentNone
	}
	h.domains[uuid] = d
	return nil
}

// GuestInfo holds no lock while it is answered.
func (h *fakeHost) GuestInfo(_ context.Context, uuid string) (libvirt.GuestInfo, error) {
	return h.guestInfo(uuid)
}

// agent opens or closes the channel of the VM that tests are about.
func (h *fakeHost) agent(state libvirt.AgentState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.domains[vmtest.UID]
	d.Agent = state
	h.domains[vmtest.UID] = d
}

func (h *fakeHost) Start(_ context.Context, uuid string) error {
	return h.change("start", func() error {
		d, ok := h.domains[uuid]
		switch {
		case !ok:
			return libvirt.ErrNotFound
		case d.State.Active():
			return nil
		case d.Saved && h.restoreErr != nil:
			return h.restoreErr
		case errors.Is(h.startErr, libvirt.ErrTimeout):
			return h.startErr // and may yet start
		case h.startErr != nil:
			return errors.Join(h.startErr, h.set(uuid, libvirt.StateShutOff, libvirt.ReasonFailed))
		}
		d.Saved = false
		h.ids++
		d.ID, d.Agent = h.ids, h.channel
		h.domains[uuid] = d
		return h.set(uuid, libvirt.StateRunning, "")
	})
}

func (h *fakeHost) Suspend(_ context.Context, uuid string) error {
	return h.change("suspend", func() error {
		if h.stuck {
			return libvirt.ErrTimeout
		}
		return h.set(uuid, libvirt.StatePaused, libvirt.ReasonPausedByUser)
	})
}

func (h *fakeHost) Resume(_ context.Context, uuid string) error {
	return h.change("resume", func() error {
		if h.stuck {
			return libvirt.ErrTimeout
		}
		if h.dead {
			own := libvirt.Error{Doing: "resuming", Message: "Resetting the Virtual Machine is required"}
			return own.As(libvirt.ErrNeedsReset)
		}
		return h.set(uuid, libvirt.StateRunning, "")
	})
}

func (h *fakeHost) Save(ctx context.Context, uuid string) error {
	hangs, aborted := false, make(chan struct{})
	err := h.change("save", func() error {
		if h.saveErr != nil {
			return h.saveErr
		}
		if hangs = h.hangs; hangs {
			h.aborted = aborted
			return h.set(uuid, libvirt.StatePaused, libvirt.ReasonSaving)
		}
		d := h.domains[uuid]
		d.State, d.Reason, d.Saved = libvirt.StateShutOff, libvirt.ReasonSaved, true
		h.domains[uuid] = d
		return nil
	})
	if err != nil || !hangs {
		return err
	}
	select {
	case <-aborted:
		return errors.New("operation aborted: save job: canceled by client")
	case <-ctx.Done():
		return libvirt.ErrTimeout
	}
}

func (h *fakeHost) AbortJob(_ context.Context, uuid string) error {
	return h.change("abort", func() error {
		if h.abortErr != nil || h.aborted == nil {
			return h.abortErr
		}
		close(h.aborted)
		h.aborted = nil
		return h.set(uuid, libvirt.StateRunning, "")
	})
}

func (h *fakeHost) CheckSave(_ context.Context, uuid string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return libvirt.ErrUnavailable
	}
	return nil
}

func (h *fakeHost) DiscardSave(_ context.Context, uuid string) error {
	return h.change("discard", func() error {
		d := h.domains[uuid]
		d.Saved = false
		h.domains[uuid] = d
		return nil
	})
}

func (h *fakeHost) Shutdown(ctx context.Context, uuid string) error {
	return h.change("shutdown", func() error {
		if h.stuck {
			if end, limited := ctx.Deadline(); !limited || time.Until(end) > askTimeout {
				return errors.New("the request would be waited for too long")
			}
			return libvirt.ErrTimeout
		}
		if h.deaf {
			return nil
		}
		return h.set(uuid, libvirt.StateShutOff, libvirt.ReasonShutDown)
	})
}

func (h *fakeHost) Destroy(_ context.Context, uuid string) error {
	return h.change("destroy", func() error {
		if h.destroyErr != nil {
			return h.destroyErr
		}
		_ = h.set(uuid, libvirt.StateShutOff, "destroyed")
		return nil
	})
}

func (h *fakeHost) Undefine(_ context.Context, uuid string) error {
	return h.change("undefine", func() error {
		delete(h.domains, uuid)
		return nil
	})
}

func (h *fakeHost) SetVCPUs(_ context.Context, uuid string, cpus int64) error {
	return h.change("plug CPUs", func() error {
		if h.plugErr != nil {
			return h.plugErr
		}
		d, ok := h.domains[uuid]
		if !ok {
			return libvirt.ErrNotFound
		}
		if d.State.Active() {
			d.VCPUs = max(d.VCPUs, cpus)
			h.domains[uuid] = d
		}
		return nil
	})
}

func (h *fakeHost) SetMemory(_ context.Context, uuid string, bytes int64) error {
	return h.change("set memory", func() error {
		d, ok := h.domains[uuid]
		if !ok {
			return libvirt.ErrNotFound
		}
		if d.State.Active() && !h.noBalloon {
			d.CurrentMemory = bytes
			h.domains[uuid] = d
		}
		return nil
	})
}

// SetMetadata is given the mark alone, and there is nothing else.
func (h *fakeHost) SetMetadata(_ context.Context, uuid, element, prefix, namespace string) error {
	return h.change("mark", func() error {
		d, ok := h.domains[uuid]
		if !ok {
			return libvirt.ErrNotFound
		}
		d.Metadata = strings.NewReplacer("</", "</"+prefix+":", "<", "<"+prefix+":").Replace(element)
		d.Metadata = strings.Replace(d.Metadata, ":owner ", ":owner xmlns:"+prefix+`="`+namespace+`" `, 1)
		h.domains[uuid] = d
		return nil
	})
}

func (h *fakeHost) Events(context.Context) <-chan libvirt.Event { return h.events }

func (h *fakeHost) DomainType(_ context.Context, setting string) (string, error) {
	if setting == libvirt.DomainTypeAuto {
		return libvirt.DomainTypeQEMU, nil
	}
	return setting, nil
}

func (h *fakeHost) Close() {}
