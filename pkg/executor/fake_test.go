package executor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// cacheOf is a watch that has heard of everything.
type cacheOf struct{ client.Reader }

func (c cacheOf) Get(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	if c.Reader.Get(ctx, key, vm) != nil || !vm.PlacedOn(vmtest.Node) {
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

func (c cacheOf) Disk(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDisk {
	disk := &v1alpha1.VirtualDisk{}
	if c.Reader.Get(ctx, key, disk) != nil || disk.Status.NodeName != vmtest.Node {
		return nil
	}
	return disk
}

func (c cacheOf) Disks(ctx context.Context) ([]*v1alpha1.VirtualDisk, bool) {
	list := &v1alpha1.VirtualDiskList{}
	if c.Reader.List(ctx, list) != nil {
		return nil, false
	}
	var out []*v1alpha1.VirtualDisk
	for i := range list.Items {
		if list.Items[i].Status.NodeName == vmtest.Node {
			out = append(out, &list.Items[i])
		}
	}
	return out, true
}

// stage is an agent with all that is around it.
type stage struct {
	t     *testing.T
	host  *fakeHost
	api   client.WithWatch
	agent *Agent
	clock *clocktesting.FakeClock
	// config may be changed before restart.
	config   hostconfig.HostConfiguration
	recorder *events.FakeRecorder
	// writes are the agent's, such as "patch VirtualMachine status".
	writes []string
	// refuse, when set, may fail a write before or after it took effect.
	refuse func(what string) (before, after error)
	vms    VMs
	ops    Operations
}

var guestKey = types.NamespacedName{Namespace: "default", Name: "guest"}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	objects = append(objects,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: vmtest.Cluster}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	s := &stage{
		t: t, host: newFakeHost(), clock: clocktesting.NewFakeClock(vmtest.Now),
		config: hostconfig.HostConfiguration{NodeName: vmtest.Node, RegisterNode: true, CPUOvercommit: resource.MustParse("1"), DomainType: "auto"},
		refuse: func(string) (error, error) { return nil, nil },
	}
	s.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.VirtualMachine{}, &v1alpha1.VirtualMachineOperation{}, &v1alpha1.Hypervisor{}, &v1alpha1.VirtualDisk{}, &corev1.Node{}).Build()
	s.vms, s.ops = cacheOf{s.api}, cacheOf{s.api}
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
			return s.write(fmt.Sprintf("patch %T %s", o, sub), func() error {
				err := c.SubResource(sub).Patch(ctx, o, p, opts...)
				if err != nil && strings.Contains(err.Error(), "test failed") {
					// As the API server says it.
					return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
				}
				return err
			})
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return s.write(fmt.Sprintf("create %T", o), func() error { return c.Create(ctx, o, opts...) })
		},
	})
	s.recorder = events.NewFakeRecorder(1000)
	s.agent = NewAgent(Options{Config: s.config, Host: s.host, Live: counted, VMs: s.vms, Operations: s.ops, Disks: cacheOf{s.api}, Networks: cacheOf{s.api}, Recorder: s.recorder, Clock: s.clock, Version: "v1"})
	s.agent.clusterID, s.agent.connected = vmtest.Cluster, true
	s.agent.volumes.Join(vmtest.Cluster)
	s.agent.networks.Join(vmtest.Cluster)
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
