package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

func TestBadVirtualMachinesAreRefused(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"an unknown field":                {"{resources: {cpu: 1, memory: 1Gi}, memmory: 2Gi}", []string{`unknown field "spec.memmory"`}},
		"no resources":                    {"{}", []string{"spec.resources", "Required value"}},
		"zero CPUs":                       {"{resources: {cpu: 0, memory: 1Gi}}", []string{"spec.resources.cpu", "greater than or equal to 1"}},
		"negative CPUs":                   {"{resources: {cpu: -2, memory: 1Gi}}", []string{"spec.resources.cpu", "greater than or equal to 1"}},
		"half a CPU":                      {"{resources: {cpu: 0.5, memory: 1Gi}}", []string{"spec.resources.cpu"}},
		"zero memory":                     {"{resources: {cpu: 1, memory: 0}}", []string{"spec.resources.memory", "at least 1Mi"}},
		"negative memory":                 {"{resources: {cpu: 1, memory: -1Gi}}", []string{"spec.resources.memory", "at least 1Mi"}},
		"memory that is no quantity":      {"{resources: {cpu: 1, memory: lots}}", []string{"spec.resources.memory"}},
		"memory beyond any host":          {"{resources: {cpu: 1, memory: 100Ti}}", []string{"spec.resources.memory", "at most 64Ti"}},
		"pages that do not divide memory": {"{resources: {cpu: 1, memory: 1500Mi, hugepages: {pageSize: 1Gi}}}", []string{"spec.resources.memory", "multiple of hugepages.pageSize"}},
		"a page size nobody has":          {"{resources: {cpu: 1, memory: 1Gi, hugepages: {pageSize: 4Ki}}}", []string{"spec.resources.hugepages.pageSize", `"2Mi"`}},
		"a NUMA policy that is none":      {"{resources: {cpu: 1, memory: 1Gi, numa: everywhere}}", []string{"spec.resources.numa", `"single-cell"`}},
		"a CPU policy that is none":       {"{resources: {cpu: 1, memory: 1Gi, cpuPolicy: mine}}", []string{"spec.resources.cpuPolicy", `"dedicated"`}},
		"threads of CPUs that are shared": {"{resources: {cpu: 1, memory: 1Gi, threads: apart}}", []string{"spec.resources.threads", "cpuPolicy"}},
		"a device without a name":         {"{resources: {cpu: 1, memory: 1Gi, devices: [{count: 1}]}}", []string{"spec.resources.devices[0].name"}},
		"a toleration that means nothing": {"{resources: {cpu: 1, memory: 1Gi}, tolerations: [{key: a, operator: Perhaps, effect: Nope}]}", []string{"spec.tolerations[0].operator", "spec.tolerations[0].effect", `"NoSchedule"`}},
		"a spread that means nothing":     {"{resources: {cpu: 1, memory: 1Gi}, topologySpreadConstraints: [{maxSkew: -1, topologyKey: '', whenUnsatisfiable: Maybe}]}", []string{"spec.topologySpreadConstraints[0].maxSkew", "spec.topologySpreadConstraints[0].topologyKey", "spec.topologySpreadConstraints[0].whenUnsatisfiable"}},
		"a label that cannot be":          {"{resources: {cpu: 1, memory: 1Gi}, nodeSelector: {a b c: x y}}", []string{"spec.nodeSelector"}},
		"an operator that is none": {"{resources: {cpu: 1, memory: 1Gi}, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Bogus, values: [b]}]}]}}}}",
			[]string{"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator"}},
		"a power state that is none":         {"{resources: {cpu: 1, memory: 1Gi}, powerState: Sleeping}", []string{"spec.powerState", `"Running"`}},
		"a malformed domain":                 {"{resources: {cpu: 1, memory: 1Gi}, domain: {devices: {disks: {device: disk}}}}", []string{"spec.domain.devices.disks"}},
		"an unknown key in the domain":       {"{resources: {cpu: 1, memory: 1Gi}, domain: {devices: {disk: []}}}", []string{"spec.domain.devices.disk", "disks"}},
		"a number for a string":              {"{resources: {cpu: 1, memory: 1Gi}, domain: {title: 12}}", []string{"spec.domain.title", "string"}},
		"a host path":                        {"{resources: {cpu: 1, memory: 1Gi}, domain: {os: {kernel: /boot/vmlinuz}}}", []string{"spec.domain.os.kernel", "domus.dev/policy-level"}},
		"memory in the domain":               {"{resources: {cpu: 1, memory: 1Gi}, domain: {memory: {value: 12, unit: GiB}}}", []string{"spec.domain.memory", "spec.resources.memory"}},
		"a priority class that is not there": {"{resources: {cpu: 1, memory: 1Gi}, priorityClassName: nobody}", []string{"spec.priorityClassName", "nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &unstructured.Unstructured{}
			document := fmt.Sprintf("{apiVersion: domus.dev/v1alpha1, kind: VirtualMachine, metadata: {name: bad, namespace: %s}, spec: %s}", ns, test.spec)
			if err := yaml.Unmarshal([]byte(document), &obj.Object); err != nil {
				t.Fatal(err)
			}
			// As kubectl does.
			err := suite.client.Create(t.Context(), obj, client.FieldValidation("Strict"))
			if err == nil {
				t.Fatal("was accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the refusal does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestDocumentSize(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	of := func(name string, size int) *v1alpha1.VirtualMachine {
		return newVM(ns, name, 1, 1, func(vm *v1alpha1.VirtualMachine) {
			raw, err := json.Marshal(map[string]any{"description": strings.Repeat("x", size)})
			if err != nil {
				t.Fatal(err)
			}
			vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
		})
	}
	err := suite.client.Create(t.Context(), of("large", v1alpha1.MaxDocumentBytes))
	if err == nil || !strings.Contains(err.Error(), "131072 bytes (128 KiB)") {
		t.Errorf("more than 128 KiB: %v", err)
	}
	create(t, of("just", v1alpha1.MaxDocumentBytes-2000))
}

func TestPolicyLevelOfTheNamespace(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	kernel := func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"os":{"kernel":"/boot/vmlinuz"}}`)}
	}
	create(t, newVM(namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: "privileged"}), "vm", 1, 1, kernel))
	err := suite.client.Create(t.Context(), newVM(namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: "anything"}), "vm", 1, 1, kernel))
	if err == nil {
		t.Error("an unknown level allowed a host path")
	}
}

func TestDefaults(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	create(t, newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector = map[string]string{"no": "host"} }))
	vm := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: "vm"}, vm)
	if vm.Spec.SchedulerName != v1alpha1.DefaultSchedulerName || vm.Spec.PowerState != v1alpha1.PowerRunning || *vm.Spec.TerminationGracePeriodSeconds != 30 {
		t.Errorf("spec %+v", vm.Spec)
	}
	if vm.Status.Phase != v1alpha1.PhasePending {
		t.Errorf("phase %q", vm.Status.Phase)
	}
}

// refusedBecause fails the test unless err is a refusal that says text.
func refusedBecause(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v; want a refusal with %q", what, err, text)
	}
}

func TestStatusRules(t *testing.T) {
	ns := namespace(t, nil)
	startScheduler(t, schedulerOptions{})
	vm := newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = "none" })
	create(t, vm)
	write := func(change func(*v1alpha1.VirtualMachineStatus)) error {
		live := &v1alpha1.VirtualMachine{}
		get(t, types.NamespacedName{Namespace: ns, Name: "vm"}, live)
		change(&live.Status)
		return suite.client.Status().Update(t.Context(), live)
	}
	place := func(node string) func(*v1alpha1.VirtualMachineStatus) {
		return func(s *v1alpha1.VirtualMachineStatus) { s.Placement = &v1alpha1.Placement{NodeName: node} }
	}
	if err := write(place("a")); err != nil {
		t.Fatal(err)
	}
	refusedBecause(t, "binding twice in an epoch", write(place("b")), "once per epoch")
	refusedBecause(t, "unbinding within an epoch", write(func(s *v1alpha1.VirtualMachineStatus) { s.Placement = nil }), "once per epoch")
	resized := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: "vm"}, resized)
	resized.Spec.Resources.CPU = 3
	if err := suite.client.Update(t.Context(), resized); err != nil {
		t.Errorf("other resources while bound: %v", err)
	}
	if err := write(func(s *v1alpha1.VirtualMachineStatus) { s.Placement, s.Epoch = nil, s.Epoch+1 }); err != nil {
		t.Errorf("unbinding with a new epoch: %v", err)
	}
	refusedBecause(t, "an epoch that falls", write(func(s *v1alpha1.VirtualMachineStatus) { s.Epoch = 0 }), "never falls")

	live := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: "vm"}, live)
	live.Spec.Resources.CPU = 2
	if err := suite.client.Update(t.Context(), live); err != nil {
		t.Errorf("other resources while it waits: %v", err)
	}
	long := newVM(ns, strings.Repeat("x", 181), 1, 1)
	refusedBecause(t, "a name too long for a file", suite.client.Create(t.Context(), long), "at most 180 characters")
	live.Spec.SchedulerName = "other"
	refusedBecause(t, "another schedulerName", suite.client.Update(t.Context(), live), "immutable")
	live.Spec.SchedulerName, live.Spec.UUID = "none", "00000000-0000-0000-0000-000000000001"
	refusedBecause(t, "another uuid", suite.client.Update(t.Context(), live), "immutable")
}

func TestAnExecutorWritesItsOwnHostOnly(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	cfg, err := suite.plane.as("domus:executor:"+names[0], "domus:executors")
	if err != nil {
		t.Fatal(err)
	}
	executor, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		create(t, newVM(ns, fmt.Sprintf("vm-%d", i), 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = name }))
	}
	mine := waitVM(t, ns, "vm-0", boundTo(names[0]))
	other := waitVM(t, ns, "vm-1", boundTo(names[1]))
	report := func(s *v1alpha1.VirtualMachineStatus) { s.Host = &v1alpha1.HostStatus{State: v1alpha1.HostRunning} }
	status := vmstatus.New(executor)
	if _, err := status.Patch(t.Context(), mine, report); err != nil {
		t.Errorf("reporting its own VM: %v", err)
	}
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v; want Forbidden", what, err)
		}
	}
	_, err = status.Patch(t.Context(), other, report)
	forbidden("reporting another host's VM", err)
	_, err = status.Patch(t.Context(), mine, func(s *v1alpha1.VirtualMachineStatus) { s.Epoch, s.Placement = s.Epoch+1, nil })
	forbidden("unbinding its own VM", err)
	_, err = status.Patch(t.Context(), mine, func(s *v1alpha1.VirtualMachineStatus) { s.Placement.Granted.CPU++ })
	forbidden("granting its own VM more", err)
	_, err = status.Patch(t.Context(), mine, func(s *v1alpha1.VirtualMachineStatus) {
		s.Eviction = &v1alpha1.Eviction{Reason: "Preempted", RequestedAt: metav1.Now()}
	})
	forbidden("evicting its own VM", err)
	live := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: "vm-0"}, live)
	patch := func(change func(*v1alpha1.VirtualMachine)) error {
		before := live.DeepCopy()
		changed := live.DeepCopy()
		change(changed)
		return executor.Patch(t.Context(), changed, client.MergeFrom(before))
	}
	if err := patch(func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = []string{v1alpha1.DomainFinalizer} }); err != nil {
		t.Errorf("storing its finalizer: %v", err)
	}
	forbidden("changing a spec", patch(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }))
	forbidden("changing labels", patch(func(vm *v1alpha1.VirtualMachine) { vm.Labels = map[string]string{"a": "b"} }))

	for i, name := range names {
		node := &corev1.Node{}
		get(t, types.NamespacedName{Name: name}, node)
		before := node.DeepCopy()
		node.Status.Allocatable[v1alpha1.ResourceCPU] = resource.MustParse("1")
		err := executor.Status().Patch(t.Context(), node, client.MergeFrom(before))
		if i == 0 && err != nil {
			t.Errorf("reporting its own Node: %v", err)
		}
		if i == 1 {
			forbidden("reporting another Node", err)
		}
		before = node.DeepCopy()
		node.Spec.Taints = nil
		err = executor.Patch(t.Context(), node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if i == 0 && err != nil {
			t.Errorf("opening its own Node to pods: %v", err)
		}
		if i == 1 {
			forbidden("opening another Node to pods", err)
		}
		known := &v1alpha1.Hypervisor{}
		known.Name = name
		if err := suite.client.Delete(t.Context(), known); err != nil {
			t.Fatal(err)
		}
		hv := &v1alpha1.Hypervisor{}
		hv.Name = name
		err = executor.Create(t.Context(), hv)
		if i == 0 {
			if err != nil {
				t.Errorf("creating its own Hypervisor: %v", err)
			}
			t.Cleanup(func() { remove(hv) })
			hv.Status = partitioned()
			if err := executor.Status().Patch(t.Context(), hv, client.RawPatch(types.JSONPatchType, statusPatch(t, hv))); err != nil {
				t.Errorf("reporting a partitioned host: %v", err)
			}
			if diff := cmp.Diff(partitioned(), hv.Status); diff != "" {
				t.Errorf("the report as stored: %s", diff)
			}
		} else {
			forbidden("creating another Hypervisor", err)
		}
	}
}

// partitioned is a report with all that an executor may say of cells, kinds of
// guests and devices; of the second cell VMs own nothing.
func partitioned() v1alpha1.HypervisorStatus {
	return v1alpha1.HypervisorStatus{
		Mode:        v1alpha1.ModePartitioned,
		Capacity:    v1alpha1.HostCapacity{CPU: 4, Memory: 1 << 30, Hugepages2Mi: 1 << 30},
		Allocatable: v1alpha1.HostCapacity{CPU: 4}, CPUOvercommit: "1",
		Cells: []v1alpha1.Cell{
			{
				ID: 0, CPUs: "4-7", Siblings: []string{"4-5", "6-7"}, Memory: 2 << 30, Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize2Mi, Total: 512}},
				Distances: []v1alpha1.CellDistance{{Cell: 1, Distance: 21}}, Foreign: &v1alpha1.ForeignUse{CPUs: "4", Hugepages2Mi: 1},
			},
			{ID: 1, Distances: []v1alpha1.CellDistance{{Cell: 0, Distance: 21}}},
		},
		DomainTypes: []v1alpha1.DomainType{{
			Type: "kvm", Arch: "x86_64", CPUModels: []string{"EPYC"}, CPUFeatures: []string{"avx2"}, Firmware: []string{"bios", "efi"}, SecureBoot: true,
		}},
		Devices: []v1alpha1.HostDevice{{
			Name: "vf", Address: "0000:5e:00.2", Cell: ptr.To[int32](1), Vendor: "15b3", Product: "1018", PhysicalFunction: "0000:5e:00.0",
		}},
		Conditions: []metav1.Condition{{
			Type: v1alpha1.HypervisorPartitioned, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonShareNotReserved, Message: "why",
			LastTransitionTime: metav1.NewTime(time.Unix(1_000_000, 0)),
		}},
	}
}

// statusPatch writes the status whole, as an executor does.
func statusPatch(t *testing.T, hv *v1alpha1.Hypervisor) []byte {
	t.Helper()
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/resourceVersion", "value": hv.ResourceVersion},
		{"op": "add", "path": "/status", "value": hv.Status},
	})
	if err != nil {
		t.Fatal(err)
	}
	return patch
}
