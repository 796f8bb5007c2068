package virtctl

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl"
	"domus.dev/domus/pkg/virtctl/failure"
)

// world is a namespace whose VMs and operations the test speaks for.
type world struct {
	t         *testing.T
	namespace string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "virtctl-"}}
	if err := suite.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return &world{t: t, namespace: ns.Name}
}

// result is what a run of virtctl came to.
type result struct {
	out, errOut string
	err         error
	code        failure.Code
}

// virtctl runs it in the world's namespace, as an administrator.
func (w *world) virtctl(args ...string) result {
	w.t.Helper()
	return w.virtctlAs(suite.kubeconfig, "", args...)
}

func (w *world) virtctlAs(kubeconfig, stdin string, args ...string) result {
	w.t.Helper()
	var out, errOut bytes.Buffer
	cmd := virtctl.NewCommand("test", strings.NewReader(stdin), &out, &errOut)
	cmd.SetArgs(append([]string{"--kubeconfig", kubeconfig, "-n", w.namespace}, args...))
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*eventually)
	defer cancel()
	err := cmd.ExecuteContext(ctx)
	return result{out: out.String(), errOut: errOut.String(), err: err, code: failure.CodeOf(err)}
}

// prints fails the test unless virtctl did what was asked and said want.
func (r result) prints(t *testing.T, want string) {
	t.Helper()
	if r.err != nil || r.out != want {
		t.Fatalf("printed %q, failed with %v; want %q", r.out, r.err, want)
	}
}

// fails fails the test unless virtctl failed with code and said each of texts.
func (r result) fails(t *testing.T, code failure.Code, texts ...string) {
	t.Helper()
	if r.err == nil || r.code != code {
		t.Fatalf("printed %q, failed with %v (code %d); want code %d", r.out, r.err, r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.err.Error(), text) {
			t.Errorf("failed with %q; want %q", r.err, text)
		}
	}
}

// vm makes a VM of that power state, and has its host say state; "" leaves it
// without a host.
func (w *world) vm(name string, power v1alpha1.PowerState, state v1alpha1.HostState, change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	w.t.Helper()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: map[string]string{"app": name}}}
	vm.Spec.PowerState = power
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 2, Memory: resource.MustParse("1Gi")}
	for _, f := range change {
		f(vm)
	}
	if err := suite.client.Create(w.t.Context(), vm); err != nil {
		w.t.Fatal(err)
	}
	if state != "" {
		w.says(name, state)
	}
	return vm
}

func policy(p v1alpha1.RunPolicy) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.RunPolicy = p }
}

// phases are the words for people.
var phases = map[v1alpha1.HostState]v1alpha1.Phase{
	v1alpha1.HostRunning: v1alpha1.PhaseRunning, v1alpha1.HostPaused: v1alpha1.PhasePaused, v1alpha1.HostSuspended: v1alpha1.PhaseSuspended,
	v1alpha1.HostStopping: v1alpha1.PhaseStopping, v1alpha1.HostStopped: v1alpha1.PhaseStopped, v1alpha1.HostEnded: v1alpha1.PhaseEnded,
}

// says writes what the host of a VM says, as vm-scheduler and the executor would.
func (w *world) says(name string, state v1alpha1.HostState) {
	w.t.Helper()
	w.status(name, func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: "host-1", Granted: v1alpha1.GrantedResources{CPU: 2, Memory: 1 << 30}}
		vm.Status.Host = &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: state}
		vm.Status.Phase, vm.Status.ObservedGeneration = phases[state], vm.Generation
	})
}

func (w *world) status(name string, change func(*v1alpha1.VirtualMachine)) {
	w.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		vm := w.get(name)
		change(vm)
		return suite.client.Status().Update(w.t.Context(), vm)
	})
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) get(name string) *v1alpha1.VirtualMachine {
	w.t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	if err := suite.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, vm); err != nil {
		w.t.Fatal(err)
	}
	return vm
}

// reader is a user who may read a resource of the namespace and nothing else; what
// is returned is the path of the kubeconfig.
func (w *world) reader(name, resource string) (string, error) {
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: []string{"get", "list", "watch"}},
	}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}
	rbac, err := kubernetes.NewForConfig(suite.config)
	if err != nil {
		return "", err
	}
	if _, err := rbac.RbacV1().Roles(w.namespace).Create(w.t.Context(), role, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	if _, err := rbac.RbacV1().RoleBindings(w.namespace).Create(w.t.Context(), binding, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	return kubeconfigOf(name)
}

// operations returns those of the namespace.
func (w *world) operations() []v1alpha1.VirtualMachineOperation {
	w.t.Helper()
	list := &v1alpha1.VirtualMachineOperationList{}
	if err := suite.client.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// obeys has the VMs' host do what their spec.powerState asks, through the states
// in between, for as long as the test runs.
func (w *world) obeys() {
	w.each(&v1alpha1.VirtualMachineList{}, func(obj client.Object) {
		vm := obj.(*v1alpha1.VirtualMachine)
		if vm.Status.ObservedGeneration == vm.Generation || vm.DeletionTimestamp != nil {
			return
		}
		if vm.Spec.PowerState == v1alpha1.PowerStopped {
			w.says(vm.Name, v1alpha1.HostStopping)
		}
		w.says(vm.Name, map[v1alpha1.PowerState]v1alpha1.HostState{
			v1alpha1.PowerRunning: v1alpha1.HostRunning, v1alpha1.PowerStopped: v1alpha1.HostStopped,
			v1alpha1.PowerPaused: v1alpha1.HostPaused, v1alpha1.PowerSuspended: v1alpha1.HostSuspended,
		}[vm.Spec.PowerState])
	})
}

// answers has vm-scheduler assign each operation, and the host do it: answer
// returns how it ends.
func (w *world) answers(answer func(op *v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus) {
	w.each(&v1alpha1.VirtualMachineOperationList{}, func(obj client.Object) {
		op := obj.(*v1alpha1.VirtualMachineOperation)
		if op.Status.NodeName != "" {
			return
		}
		op.Status.NodeName, op.Status.Phase = "host-1", v1alpha1.OperationRunning
		if err := suite.client.Status().Update(w.t.Context(), op); err != nil {
			w.t.Error(err)
			return
		}
		end := answer(op)
		end.NodeName = op.Status.NodeName
		if end.Phase == "" {
			end.Phase = v1alpha1.OperationSucceeded
		}
		op.Status = end
		if err := suite.client.Status().Update(w.t.Context(), op); err != nil {
			w.t.Error(err)
		}
	})
}

// succeeds has each operation succeed.
func (w *world) succeeds() {
	w.answers(func(*v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		return v1alpha1.VirtualMachineOperationStatus{}
	})
}

// failing is the end of an operation that fails.
func failing(reason, message string) func(*v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
	return func(*v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		return v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationFailed, Reason: reason, Message: message}
	}
}

// each hands objects of the namespace to do as they are created and changed, one
// at a time, until the test ends.
func (w *world) each(list client.ObjectList, do func(client.Object)) {
	w.t.Helper()
	watch, err := suite.client.Watch(w.t.Context(), list, client.InNamespace(w.namespace))
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range watch.ResultChan() {
			if obj, ok := event.Object.(client.Object); ok && (event.Type == "ADDED" || event.Type == "MODIFIED") {
				do(obj)
			}
		}
	}()
	w.t.Cleanup(func() {
		watch.Stop()
		<-done
	})
}

// soon calls do as soon as is returns true; what it returns waits for that.
func (w *world) soon(is func() bool, do func()) (done func()) {
	w.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if is() {
				do()
				return
			}
		}
		w.t.Error("it has not come to that")
	}()
	done = func() { <-ended }
	w.t.Cleanup(done)
	return done
}
