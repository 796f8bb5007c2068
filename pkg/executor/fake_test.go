package executor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// fakeHost is a libvirt in memory. Every change passes through step, which may
// refuse it before or after it took effect.
type fakeHost struct {
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
	// destroyErr is what destroying fails with, stuck keeps requests to shut
	// down unanswered.
	destroyErr error
	stuck      bool
	// deaf guests do not react to ACPI.
	deaf bool
}

func newFakeHost() *fakeHost {
	return &fakeHost{
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
		h.domains[d.UUID] = libvirt.Domain{
			Name: d.Name, UUID: d.UUID, State: libvirt.StateShutOff, Reason: libvirt.ReasonNotStarted,
			Metadata: d.Metadata.XML, CPU: int64(d.VCPU.Value), Memory: int64(d.Memory.Value) << 10, Binding: bindingOf(&d),
		}
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
	h.domains[uuid] = d
	return nil
}

func (h *fakeHost) Start(_ context.Context, uuid string) error {
	return h.change("start", func() error {
		if h.startErr != nil {
			return h.startErr
		}
		return h.set(uuid, libvirt.StateRunning, "")
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

func (h *fakeHost) Events(context.Context) <-chan libvirt.Event { return h.events }

func (h *fakeHost) DomainType(_ context.Context, setting string) (string, error) {
	if setting == libvirt.DomainTypeAuto {
		return libvirt.DomainTypeQEMU, nil
	}
	return setting, nil
}

func (h *fakeHost) Close() {}

// cacheOf is a watch that has heard of everything.
type cacheOf struct{ client.Reader }

func (c cacheOf) Get(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	if c.Reader.Get(ctx, key, vm) != nil || !vm.PlacedOn(testNode) {
		return nil
	}
	return vm
}

func (c cacheOf) List(ctx context.Context) []types.NamespacedName {
	list := &v1alpha1.VirtualMachineList{}
	_ = c.Reader.List(ctx, list)
	var keys []types.NamespacedName
	for i := range list.Items {
		keys = append(keys, client.ObjectKeyFromObject(&list.Items[i]))
	}
	return keys
}

// stage is an agent with all that is around it.
type stage struct {
	t     *testing.T
	host  *fakeHost
	api   client.WithWatch
	agent *Agent
	clock *clocktesting.FakeClock
	// config may be changed before restart.
	config   HostConfiguration
	recorder *events.FakeRecorder
	// writes are the agent's, such as "patch VirtualMachine status".
	writes []string
	// refuse, when set, may fail a write before or after it took effect.
	refuse func(what string) (before, after error)
	vms    VMs
}

var guestKey = types.NamespacedName{Namespace: "default", Name: "guest"}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	objects = append(objects,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: testCluster}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	s := &stage{
		t: t, host: newFakeHost(), clock: clocktesting.NewFakeClock(testNow),
		config: HostConfiguration{NodeName: testNode, RegisterNode: true, CPUOvercommit: resource.MustParse("1"), DomainType: "auto"},
		refuse: func(string) (error, error) { return nil, nil },
	}
	s.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.VirtualMachine{}, &v1alpha1.Hypervisor{}, &corev1.Node{}).Build()
	s.vms = cacheOf{s.api}
	s.restart()
	return s
}

func (s *stage) write(what string, fn func() error) error {
	before, after := s.refuse(what)
	if before != nil {
		return before
	}
	s.writes = append(s.writes, what)
	if err := fn(); err != nil {
		return err
	}
	return after
}

// restart replaces the agent by a new one that remembers nothing.
func (s *stage) restart() {
	s.t.Helper()
	counted := interceptor.NewClient(s.api, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return s.write(fmt.Sprintf("patch %T", o), func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return s.write(fmt.Sprintf("patch %T %s", o, sub), func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return s.write(fmt.Sprintf("create %T", o), func() error { return c.Create(ctx, o, opts...) })
		},
	})
	s.recorder = events.NewFakeRecorder(1000)
	s.agent = NewAgent(Options{Config: s.config, Host: s.host, Live: counted, VMs: s.vms, Recorder: s.recorder, Clock: s.clock, Version: "v1"})
	s.agent.clusterID, s.agent.connected = testCluster, true
	if !s.host.away {
		if err := s.agent.refresh(context.Background()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// hugepages gives the host's one cell pools of which nobody uses a page.
func (s *stage) hugepages(pages libvirt.Pages) {
	s.host.description.Pages, s.host.description.Cells[0].Pages = pages, pages
	s.host.free = []libvirt.CellFree{{Pages: pages}}
}

// turn gives the VM one turn.
func (s *stage) turn() error {
	_, err := s.agent.turn(context.Background(), guestKey)
	return err
}

// turnOf gives another VM one turn.
func (s *stage) turnOf(vm *v1alpha1.VirtualMachine) {
	s.t.Helper()
	if _, err := s.agent.turn(context.Background(), client.ObjectKeyFromObject(vm)); err != nil {
		s.t.Fatal(err)
	}
}

// saidOf is what the host reported of another VM.
func (s *stage) saidOf(vm *v1alpha1.VirtualMachine) *v1alpha1.HostStatus {
	s.t.Helper()
	got := &v1alpha1.VirtualMachine{}
	if err := s.api.Get(context.Background(), client.ObjectKeyFromObject(vm), got); err != nil {
		s.t.Fatal(err)
	}
	return got.Status.Host
}

func (s *stage) mustTurn() {
	s.t.Helper()
	if err := s.turn(); err != nil {
		s.t.Fatal(err)
	}
}

// vm reads the VM; nil when it is gone.
func (s *stage) vm() *v1alpha1.VirtualMachine {
	s.t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	if err := s.api.Get(context.Background(), guestKey, vm); client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	} else if err != nil {
		return nil
	}
	return vm
}

// edit changes the VM as a user or the scheduler would.
func (s *stage) edit(change func(*v1alpha1.VirtualMachine)) {
	s.t.Helper()
	vm := s.vm()
	change(vm)
	status := vm.Status
	if err := s.api.Update(context.Background(), vm); err != nil {
		s.t.Fatal(err)
	}
	vm.Status = status
	if err := s.api.Status().Update(context.Background(), vm); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) said() *v1alpha1.HostStatus { return s.vm().Status.Host }

// told lists the reasons of the events so far.
func (s *stage) told() []string {
	var out []string
	for {
		select {
		case e := <-s.recorder.Events:
			var kind, reason string
			if _, err := fmt.Sscan(e, &kind, &reason); err != nil {
				s.t.Fatal(err)
			}
			out = append(out, reason)
		default:
			return out
		}
	}
}
