package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/admission"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// documentOf reads YAML as kubectl does: what is not in it is not sent.
func documentOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		t.Fatal(err)
	}
	return obj
}

// createClass makes a class.
func createClass(t *testing.T, name, spec string) {
	t.Helper()
	create(t, documentOf(t, fmt.Sprintf("{apiVersion: domus.dev/v1alpha1, kind: VirtualMachineClass, metadata: {name: %s}, spec: %s}", name, spec)))
}

// changeClass replaces a class' spec.
func changeClass(t *testing.T, name, spec string) {
	t.Helper()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachineClass"))
	get(t, types.NamespacedName{Name: name}, live)
	live.Object["spec"] = documentOf(t, "{spec: "+spec+"}").Object["spec"]
	if err := suite.client.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
}

func vmDocument(t *testing.T, ns, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return documentOf(t, fmt.Sprintf("{apiVersion: domus.dev/v1alpha1, kind: VirtualMachine, metadata: {name: %s, namespace: %s}, spec: %s}", name, ns, spec))
}

func readVM(t *testing.T, ns, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: name}, vm)
	return vm
}

// given fails the test unless the VM has what is wanted of its class.
func given(t *testing.T, vm *v1alpha1.VirtualMachine, class string, revision int64, cpu int32, memory, domain string) {
	t.Helper()
	if c := vm.Spec.Class; c == nil || c.Name != class || c.Revision != revision {
		t.Errorf("class %+v, want %s at %d", c, class, revision)
	}
	if r := &vm.Spec.Resources; r.CPU != cpu || r.Memory.String() != memory {
		t.Errorf("resources %+v, want %d CPUs and %s", r, cpu, memory)
	}
	raw := "{}"
	if vm.Spec.Domain != nil {
		raw = string(vm.Spec.Domain.Raw)
	}
	var got, want any
	if err := json.Unmarshal([]byte(raw), &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(domain), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("domain %s, want %s", raw, domain)
	}
}

// away ends the spec of a VM that nobody places.
const away = ", schedulerName: nobody}"

func TestAVMOfAClass(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	class := ns + "-small"
	createClass(t, class, `{resources: {cpu: 2, memory: 4096Mi, devices: [{name: gpu}]}, domain: {onCrash: restart, devices: {inputs: [{type: tablet, bus: usb}]}}}`)
	const defaults = `{onCrash: restart, devices: {inputs: [{type: tablet, bus: usb}]}}`

	t.Run("is created without resources", func(t *testing.T) {
		create(t, vmDocument(t, ns, "plain", "{class: {name: "+class+"}"+away))
		vm := readVM(t, ns, "plain")
		given(t, vm, class, 1, 2, "4Gi", defaults)
		if d := vm.Spec.Resources.Devices; len(d) != 1 || d[0].Name != "gpu" || d[0].Count != 1 {
			t.Errorf("devices %+v", d)
		}
	})
	t.Run("is created by a client in Go", func(t *testing.T) {
		vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "typed"}}
		vm.Spec.Class = &v1alpha1.ClassReference{Name: class}
		vm.Spec.SchedulerName = "nobody"
		create(t, vm)
		given(t, readVM(t, ns, "typed"), class, 1, 2, "4Gi", defaults)
	})
	t.Run("has a domain, an overhead and devices of its own", func(t *testing.T) {
		create(t, vmDocument(t, ns, "own", "{class: {name: "+class+"}, resources: {overhead: 900Mi, devices: [{name: vf, count: 2}]}, domain: {onCrash: destroy, devices: {inputs: []}}"+away))
		vm := readVM(t, ns, "own")
		given(t, vm, class, 1, 2, "4Gi", `{onCrash: destroy, devices: {inputs: []}}`)
		if r := &vm.Spec.Resources; r.Overhead == nil || r.Overhead.String() != "900Mi" || len(r.Devices) != 2 {
			t.Errorf("resources %+v", r)
		}
	})
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"a class that is not there": {"{class: {name: " + ns + "-huge}" + away, []string{"spec.class.name", "no VirtualMachineClass has this name", "choose one of", class}},
		"a size of its own":         {"{class: {name: " + class + "}, resources: {cpu: 3}" + away, []string{"spec.resources.cpu: Forbidden", "leave it out"}},
		"a policy of its own":       {"{class: {name: " + class + "}, resources: {numa: spread}" + away, []string{"spec.resources.numa: Forbidden"}},
		"a revision that is not":    {"{class: {name: " + class + ", revision: 7}" + away, []string{"spec.class.revision", "is at revision 1", "leave revision out"}},
		"a class that is no object": {"{class: " + class + away, []string{"spec.class", "must be of type object"}},
		"a class without a name":    {"{class: {}" + away, []string{"spec.class.name", "Required value"}},
		"a domain that is refused":  {"{class: {name: " + class + "}, domain: {os: {kernel: /boot/vmlinuz}}" + away, []string{"spec.domain.os.kernel", "domus.dev/policy-level"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := suite.client.Create(t.Context(), vmDocument(t, ns, "bad", test.spec), client.FieldValidation("Strict"))
			for _, want := range test.want {
				refusedBecause(t, name, err, want)
			}
		})
	}
	t.Run("cannot take another size later", func(t *testing.T) {
		create(t, vmDocument(t, ns, "sized", "{class: {name: "+class+"}"+away))
		vm := readVM(t, ns, "sized")
		vm.Spec.Resources.CPU = 3
		refusedBecause(t, "another size", suite.client.Update(t.Context(), vm), "spec.resources.cpu: Forbidden")
	})
}

func TestClassesAreAppliedAgainWithoutADifference(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	const small = `{resources: {cpu: 2, memory: 4Gi, devices: [{name: gpu}]}, domain: {onCrash: restart, os: {firmware: efi}, devices: {inputs: [{type: tablet, bus: usb}]}}}`
	other := ns + "-large"
	createClass(t, other, `{resources: {cpu: 8, memory: 16Gi}}`)
	apply := func(t *testing.T, name, spec string) *v1alpha1.VirtualMachine {
		t.Helper()
		doc := vmDocument(t, ns, name, spec)
		if err := suite.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(doc), client.FieldOwner("kubectl")); err != nil {
			t.Fatal(err)
		}
		return readVM(t, ns, name)
	}
	for name, spec := range map[string]string{
		"plain":    "{class: {name: small}" + away,
		"domain":   "{class: {name: small}, domain: {title: mine, os: {type: {machine: q35}}, devices: {rngs: [{model: virtio, backend: {random: {device: /dev/urandom}}}]}}" + away,
		"overhead": "{class: {name: small}, resources: {overhead: 0.5Gi, devices: [{name: vf}]}" + away,
	} {
		t.Run(name, func(t *testing.T) {
			vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
			t.Cleanup(func() { remove(vm) })
			class := ns + "-" + name
			createClass(t, class, small)
			spec := strings.Replace(spec, "name: small", "name: "+class, 1)
			first := apply(t, name, spec)
			if first.Spec.Resources.CPU != 2 || first.Spec.Class.Revision != 1 {
				t.Fatalf("%+v", first.Spec)
			}
			// The API server stores the status of a custom resource with its first
			// update, and has a new version of any for that, with or without a class.
			again := apply(t, name, spec)
			unversioned := again.DeepCopy()
			unversioned.ResourceVersion = first.ResourceVersion
			if diff := cmp.Diff(first, unversioned); diff != "" {
				t.Fatalf("applied again it is another: %s", diff)
			}
			first = again
			if again := apply(t, name, spec); again.ResourceVersion != first.ResourceVersion {
				t.Fatalf("applied a third time it was written: %s", cmp.Diff(first, again))
			}
			// The class moves on: who applies the same document keeps what they have.
			changeClass(t, class, `{resources: {cpu: 3, memory: 6Gi}, domain: {onCrash: destroy}}`)
			if again := apply(t, name, spec); again.ResourceVersion != first.ResourceVersion {
				t.Fatalf("applied again it has taken over a newer class:\n%+v", again.Spec)
			}
			// And so it does when something of the VM's own changes.
			edited := apply(t, name, strings.Replace(spec, away, ", terminationGracePeriodSeconds: 5"+away, 1))
			if edited.Spec.Class.Revision != 1 || edited.Spec.Resources.CPU != 2 || !reflect.DeepEqual(edited.Spec.Domain, first.Spec.Domain) {
				t.Errorf("%+v", edited.Spec)
			}

			// Another class by its name alone.
			moved := apply(t, name, strings.Replace(spec, class, other, 1))
			if moved.Spec.Class.Name != other || moved.Spec.Class.Revision != 1 || moved.Spec.Resources.CPU != 8 || moved.Spec.Resources.Memory.String() != "16Gi" {
				t.Errorf("%+v", moved.Spec)
			}
			if again := apply(t, name, strings.Replace(spec, class, other, 1)); again.ResourceVersion != moved.ResourceVersion {
				t.Errorf("applied again it is another:\n%+v\nwas\n%+v", again.Spec, moved.Spec)
			}
			// None any more: the size stays.
			free := apply(t, name, strings.Replace(spec, "class: {name: "+class+"}", "powerState: Running", 1))
			if free.Spec.Class != nil || free.Spec.Resources.CPU != 8 {
				t.Errorf("%+v", free.Spec)
			}
		})
	}
}

func TestAVMKeepsItsClassUntilItsRevisionIsCleared(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	class := ns + "-small"
	createClass(t, class, `{resources: {cpu: 2, memory: 4Gi}, domain: {onCrash: restart, os: {firmware: efi}}}`)
	create(t, vmDocument(t, ns, "vm", "{class: {name: "+class+"}, domain: {title: mine}"+away))
	given(t, readVM(t, ns, "vm"), class, 1, 2, "4Gi", `{title: mine, onCrash: restart, os: {firmware: efi}}`)
	patch := func(patch string) error {
		vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "vm"}}
		return suite.client.Patch(t.Context(), vm, client.RawPatch(types.MergePatchType, []byte(patch)))
	}

	changeClass(t, class, `{resources: {cpu: 4, memory: 8Gi}, domain: {onCrash: destroy}}`)
	if err := patch(`{"spec":{"domain":{"description":"new"}}}`); err != nil {
		t.Fatal(err)
	}
	given(t, readVM(t, ns, "vm"), class, 1, 2, "4Gi", `{title: mine, description: new, onCrash: restart, os: {firmware: efi}}`)

	if err := patch(`{"spec":{"class":{"revision":null}}}`); err != nil {
		t.Fatal(err)
	}
	given(t, readVM(t, ns, "vm"), class, 2, 4, "8Gi", `{title: mine, description: new, onCrash: destroy}`)

	remove(&v1alpha1.VirtualMachineClass{ObjectMeta: metav1.ObjectMeta{Name: class}})
	if err := patch(`{"spec":{"domain":{"title":"still mine"}}}`); err != nil {
		t.Errorf("the class is gone: %v", err)
	}
	given(t, readVM(t, ns, "vm"), class, 2, 4, "8Gi", `{title: still mine, description: new, onCrash: destroy}`)
	refusedBecause(t, "a class that is gone", patch(`{"spec":{"class":{"revision":null}}}`), "no VirtualMachineClass has this name")

	// As from a backup: all of it, also in another place.
	copied := readVM(t, ns, "vm")
	copied.ObjectMeta = metav1.ObjectMeta{Namespace: ns, Name: "copy", Annotations: copied.Annotations}
	copied.Status = v1alpha1.VirtualMachineStatus{}
	create(t, copied)
	given(t, readVM(t, ns, "copy"), class, 2, 4, "8Gi", `{title: still mine, description: new, onCrash: destroy}`)
}

func TestVMsWithoutAClassDoNotNeedTheWebhook(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	class := ns + "-small"
	createClass(t, class, `{resources: {cpu: 2, memory: 4Gi}}`)
	create(t, vmDocument(t, ns, "classed", "{class: {name: "+class+"}"+away))
	create(t, newVM(ns, "plain", 1, 1))
	// The webhook that takes classes over, gone where nothing answers; the other
	// ones of vm-scheduler answer.
	breakWebhook(t, "virtualmachine-classes.domus.dev", func() error {
		return suite.client.Create(t.Context(), vmDocument(t, ns, "new", "{class: {name: "+class+"}"+away), client.DryRunAll)
	})
	create(t, newVM(ns, "other", 1, 1))
	for _, name := range []string{"plain", "classed"} {
		vm := readVM(t, ns, name)
		vm.Spec.PowerState = v1alpha1.PowerStopped
		if err := suite.client.Update(t.Context(), vm); err != nil {
			t.Errorf("stopping %s: %v", name, err)
		}
	}
}

// breakWebhook has the API server ask in vain, until the test ends, and waits
// until it does: until a VM of the class is refused for it.
func breakWebhook(t *testing.T, name string, refused func() error) {
	t.Helper()
	change := func(url string) (before string) {
		configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
		ctx := context.Background()
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			if err := suite.client.Get(ctx, types.NamespacedName{Name: admission.WebhookConfiguration}, configuration); err != nil {
				return err
			}
			for i := range configuration.Webhooks {
				if w := &configuration.Webhooks[i]; w.Name == name {
					before = *w.ClientConfig.URL
					w.ClientConfig.URL = &url
				}
			}
			return suite.client.Update(ctx, configuration)
		})
		if err != nil || before == "" {
			t.Errorf("changing webhook %s: %v", name, err)
		}
		return before
	}
	before := change(fmt.Sprintf("https://127.0.0.1:%d/", freePort(t)))
	t.Cleanup(func() { change(before) })
	eventuallyRefused(t, refused, "failed calling webhook")
}

func TestBadClassesAreRefused(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"no resources":           {"{}", []string{"spec.resources", "Required value"}},
		"zero CPUs":              {"{resources: {cpu: 0, memory: 1Gi}}", []string{"spec.resources.cpu", "greater than or equal to 1"}},
		"part of a page":         {"{resources: {cpu: 1, memory: 1500Mi, hugepages: {pageSize: 1Gi}}}", []string{"spec.resources.memory", "multiple of hugepages.pageSize"}},
		"a malformed domain":     {"{resources: {cpu: 1, memory: 1Gi}, domain: {devices: {disks: {device: disk}}}}", []string{"spec.domain.devices.disks", "must be a list"}},
		"what is not the class'": {"{resources: {cpu: 1, memory: 1Gi}, domain: {name: x}}", []string{"spec.domain.name"}},
	} {
		t.Run(name, func(t *testing.T) {
			doc := documentOf(t, fmt.Sprintf("{apiVersion: domus.dev/v1alpha1, kind: VirtualMachineClass, metadata: {name: %s-bad}, spec: %s}", ns, test.spec))
			err := suite.client.Create(t.Context(), doc, client.FieldValidation("Strict"))
			for _, want := range test.want {
				refusedBecause(t, name, err, want)
			}
		})
	}
}

func TestEveryoneMayReadClasses(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	createClass(t, ns+"-small", `{resources: {cpu: 2, memory: 4Gi}}`)
	c := clientOf(t, "class-reader-jane")
	list := &v1alpha1.VirtualMachineClassList{}
	eventuallyAllowed(t, func() error { return c.List(t.Context(), list) })
	if len(list.Items) == 0 {
		t.Error("there are no classes")
	}
	mine := &v1alpha1.VirtualMachineClass{ObjectMeta: metav1.ObjectMeta{Name: ns + "-mine"}}
	if err := c.Create(t.Context(), mine); !apierrors.IsForbidden(err) {
		t.Errorf("creating one: %v; want Forbidden", err)
	}
}

func TestReviewsOfAClass(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	class := ns + "-six"
	createClass(t, class, `{resources: {cpu: 6, memory: 4Gi}}`)
	vm := newVM(ns, "", 0, 0, func(vm *v1alpha1.VirtualMachine) { vm.Spec.Class = &v1alpha1.ClassReference{Name: class} })
	if s := answer(t, ofTemplate(vm)); s.Feasible != 2 {
		t.Errorf("answered %+v", s)
	}
	changeClass(t, class, `{resources: {cpu: 600, memory: 4Gi}}`)
	if s := answer(t, ofTemplate(vm)); s.Feasible != 0 || !strings.Contains(fmt.Sprint(s.Rejections), "need 600 vCPUs") {
		t.Errorf("answered %+v", s)
	}

	admin := kubeconfigOf(t, configOf(t, "virtctl-admin", "system:masters"))
	file := func(class string) string {
		return "apiVersion: domus.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: new, namespace: " + ns + "}\nspec: {class: {name: " + class + "}, nodeSelector: {test: " + ns + "}}\n"
	}
	out, err := runVirtctl(t, admin, file(class), "explain", "-f", "-")
	if err != nil || !strings.Contains(out, "need 600 vCPUs") {
		t.Errorf("%v:\n%s", err, out)
	}
	_, err = runVirtctl(t, admin, file(ns+"-none"), "explain", "-f", "-")
	refusedBecause(t, "a class that is not there", err, `spec.class.name: Invalid value: "`+ns+`-none": no VirtualMachineClass has this name`)
}
