package class

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// machine is a VM of that spec; nil for "".
func machine(t testing.TB, spec string) *v1alpha1.VirtualMachine {
	t.Helper()
	if spec == "" {
		return nil
	}
	vm := &v1alpha1.VirtualMachine{}
	if err := yaml.UnmarshalStrict([]byte(spec), &vm.Spec); err != nil {
		t.Fatal(err)
	}
	return vm
}

func given(t testing.TB, revision int64, spec string) *Given {
	t.Helper()
	g := &Given{Name: "small", Revision: revision}
	if err := yaml.UnmarshalStrict([]byte(spec), &g.Spec); err != nil {
		t.Fatal(err)
	}
	return g
}

// text is a spec to compare, with sorted keys.
func text(t testing.TB, spec *v1alpha1.VirtualMachineSpec) string {
	t.Helper()
	data, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const small = `{resources: {cpu: 2, memory: 4Gi, numa: single-cell, overhead: 300Mi, devices: [{name: gpu}]}, domain: {os: {firmware: efi}, devices: {rngs: [{model: virtio}]}}}`

func TestFill(t *testing.T) {
	for name, test := range map[string]struct {
		spec, class, want string
		errs              []string
	}{
		"a VM that says nothing": {
			`{class: {name: small}}`, small,
			`{class: {name: small, revision: 4}, resources: {cpu: 2, memory: 4Gi, numa: single-cell, overhead: 300Mi, devices: [{name: gpu}]}, domain: {os: {firmware: efi}, devices: {rngs: [{model: virtio}]}}}`, nil,
		},
		"a class of amounts alone": {
			`{class: {name: small}, domain: {title: mine}}`, `{resources: {cpu: 2, memory: 4Gi}}`,
			`{class: {name: small, revision: 4}, resources: {cpu: 2, memory: 4Gi}, domain: {title: mine}}`, nil,
		},
		"an overhead and devices of its own": {
			`{class: {name: small}, resources: {cpu: 0, memory: 0, overhead: 500Mi, devices: [{name: vf, count: 2}]}}`, small,
			`{class: {name: small, revision: 4}, resources: {cpu: 2, memory: 4Gi, numa: single-cell, overhead: 500Mi, devices: [{name: vf, count: 2}, {name: gpu}]}, domain: {os: {firmware: efi}, devices: {rngs: [{model: virtio}]}}}`, nil,
		},
		"more of a device of the class": {
			`{class: {name: small}, resources: {cpu: 0, memory: 0, devices: [{name: gpu, count: 3}]}}`, `{resources: {cpu: 2, memory: 4Gi, devices: [{name: gpu}]}}`,
			`{class: {name: small, revision: 4}, resources: {cpu: 2, memory: 4Gi, devices: [{name: gpu, count: 3}]}}`, nil,
		},
		"a domain of its own": {
			`{class: {name: small}, domain: {title: mine, os: {type: {machine: q35}}, devices: {rngs: [], inputs: [{type: tablet}]}}}`, `{resources: {cpu: 2, memory: 4Gi}, domain: {os: {firmware: efi}, devices: {rngs: [{model: virtio}]}}}`,
			`{class: {name: small, revision: 4}, resources: {cpu: 2, memory: 4Gi}, domain: {title: mine, os: {firmware: efi, type: {machine: q35}}, devices: {rngs: [], inputs: [{type: tablet}]}}}`, nil,
		},
		"what the class gives anyway": {
			`{class: {name: small}, resources: {cpu: 2, memory: 4096Mi, numa: single-cell}}`, small,
			`{class: {name: small, revision: 4}, resources: {cpu: 2, memory: 4096Mi, numa: single-cell, overhead: 300Mi, devices: [{name: gpu}]}, domain: {os: {firmware: efi}, devices: {rngs: [{model: virtio}]}}}`, nil,
		},
		"another size": {
			`{class: {name: small}, resources: {cpu: 4, memory: 8Gi}}`, small, "",
			[]string{"spec.resources.cpu: Forbidden", `name another class than "small"`, "leave spec.class out", "spec.resources.memory: Forbidden"},
		},
		"policies": {
			`{class: {name: small}, resources: {cpu: 0, memory: 0, numa: spread, cpuPolicy: dedicated, threads: apart, hugepages: {pageSize: 1Gi}}}`, small, "",
			[]string{"spec.resources.numa", "spec.resources.cpuPolicy", "spec.resources.threads", "spec.resources.hugepages"},
		},
		"a domain that is none": {`{class: {name: small}, domain: [1]}`, small, "", []string{"spec.domain", "not an object"}},
	} {
		t.Run(name, func(t *testing.T) {
			vm := machine(t, test.spec)
			errs := Fill(&vm.Spec, given(t, 4, test.class))
			if len(test.errs) > 0 {
				for _, want := range test.errs {
					if !strings.Contains(said(errs), want) {
						t.Errorf("%s does not say %q", said(errs), want)
					}
				}
				return
			}
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			if diff := cmp.Diff(text(t, &machine(t, test.want).Spec), text(t, &vm.Spec)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func said(errs field.ErrorList) string {
	if len(errs) == 0 {
		return ""
	}
	return errs.ToAggregate().Error()
}

func TestWishAndRevision(t *testing.T) {
	for name, test := range map[string]struct {
		spec, old string
		wish      Wish
		revision  int64
	}{
		"no class":                             {spec: `{}`, wish: Nothing},
		"a class of a new VM":                  {spec: `{class: {name: a}}`, wish: Take},
		"at a revision":                        {spec: `{class: {name: a, revision: 3}}`, wish: Take, revision: 3},
		"kept":                                 {`{class: {name: a, revision: 3}}`, `{class: {name: a, revision: 3}}`, Keep, 3},
		"the revision is cleared":              {`{class: {name: a}}`, `{class: {name: a, revision: 3}}`, Take, 0},
		"another revision":                     {`{class: {name: a, revision: 4}}`, `{class: {name: a, revision: 3}}`, Take, 4},
		"another class":                        {`{class: {name: b}}`, `{class: {name: a, revision: 3}}`, Take, 0},
		"another class by its name alone":      {`{class: {name: b, revision: 3}}`, `{class: {name: a, revision: 3}}`, Take, 0},
		"another class at a revision":          {`{class: {name: b, revision: 5}}`, `{class: {name: a, revision: 3}}`, Take, 5},
		"the first class of a VM":              {`{class: {name: a}}`, `{}`, Take, 0},
		"none any more":                        {`{}`, `{class: {name: a, revision: 3}}`, Nothing, 0},
		"none any more for who applied a name": {`{class: {name: "", revision: 3}}`, `{class: {name: a, revision: 3}}`, Leave, 3},
		"a class without a name":               {spec: `{class: {name: "", revision: 3}}`, wish: Nothing, revision: 3},
	} {
		t.Run(name, func(t *testing.T) {
			vm, old := machine(t, test.spec), machine(t, test.old)
			if got := WishOf(vm, old); got != test.wish {
				t.Errorf("wish %s, want %s", got, test.wish)
			}
			if vm.Spec.Class != nil && vm.Spec.Class.Name != "" {
				if got := Revision(vm, old); got != test.revision {
					t.Errorf("revision %d, want %d", got, test.revision)
				}
			}
		})
	}
}

// A VM that takes over a newer class loses what it had of the older one, and
// keeps its own.
func TestTakingOverAnew(t *testing.T) {
	const own = `{class: {name: small}, resources: {cpu: 0, memory: 0, devices: [{name: vf}]}, domain: {title: mine, onCrash: restart}}`
	first := given(t, 1, `{resources: {cpu: 2, memory: 4Gi, hugepages: {pageSize: 2Mi}, overhead: 300Mi, devices: [{name: gpu}]}, domain: {os: {firmware: efi}, onReboot: destroy}}`)
	second := given(t, 2, `{resources: {cpu: 4, memory: 8Gi}, domain: {os: {type: {machine: q35}}, onCrash: destroy}}`)
	vm := machine(t, own)
	if errs, err := Write(vm, nil, Take, first, nil); len(errs) > 0 || err != nil {
		t.Fatal(errs, err)
	}
	old := vm.DeepCopy()
	vm.Spec.Class.Revision = 0
	if errs, err := Write(vm, old, Take, second, Recorded(old)); len(errs) > 0 || err != nil {
		t.Fatal(errs, err)
	}
	want := machine(t, own)
	if errs, err := Write(want, nil, Take, second, nil); len(errs) > 0 || err != nil {
		t.Fatal(errs, err)
	}
	if diff := cmp.Diff(text(t, &want.Spec), text(t, &vm.Spec)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.Annotations, vm.Annotations); diff != "" {
		t.Error(diff)
	}
}

func TestRecorded(t *testing.T) {
	vm := machine(t, `{class: {name: small}}`)
	if Recorded(vm) != nil {
		t.Error("there is a record of nothing")
	}
	g := given(t, 1, small)
	if err := Record(vm, g); err != nil {
		t.Fatal(err)
	}
	if got := Recorded(vm); got == nil || !equality.Semantic.DeepEqual(got.Resources, g.Spec.Resources) || string(got.Domain.Raw) != string(g.Spec.Domain.Raw) {
		t.Errorf("recorded %+v", got)
	}
	for _, broken := range []string{"", "x", "{}", `{"resources":{"cpu":2}}`} {
		vm.Annotations[v1alpha1.GivenAnnotation] = broken
		if got := Recorded(vm); got != nil {
			t.Errorf("%q is a record: %+v", broken, got)
		}
	}
}

// drawGiven draws a class, drawOwn what a VM of a class may have of its own.
func drawGiven(t *rapid.T, label string, revision int64) *Given {
	r := v1alpha1.VirtualMachineResources{
		CPU:    rapid.Int32Range(1, 4).Draw(t, label+" cpu"),
		Memory: *resource.NewQuantity(rapid.Int64Range(1, 4).Draw(t, label+" memory")<<30, resource.BinarySI),
		NUMA:   rapid.SampledFrom([]v1alpha1.NUMAPolicy{"", v1alpha1.NUMASpread}).Draw(t, label+" numa"),
	}
	if rapid.Bool().Draw(t, label+" pages") {
		r.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi}
	}
	drawBoth(t, label, &r)
	g := &Given{Name: "small", Revision: revision, Spec: v1alpha1.VirtualMachineClassSpec{Resources: r}}
	g.Spec.Domain = rawOrNil(drawDomain(t, label))
	return g
}

func drawOwn(t *rapid.T, label string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	vm.Spec.Class = &v1alpha1.ClassReference{Name: "small"}
	drawBoth(t, label, &vm.Spec.Resources)
	vm.Spec.Domain = rawOrNil(drawDomain(t, label))
	return vm
}

func drawBoth(t *rapid.T, label string, r *v1alpha1.VirtualMachineResources) {
	if rapid.Bool().Draw(t, label+" overhead") {
		q := resource.MustParse(rapid.SampledFrom([]string{"300Mi", "400Mi"}).Draw(t, label+" overhead is"))
		r.Overhead = &q
	}
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"gpu", "nic", "vf"}), rapid.ID[string]).Draw(t, label+" devices") {
		r.Devices = append(r.Devices, v1alpha1.DeviceRequest{Name: name, Count: rapid.Int32Range(1, 2).Draw(t, label+" "+name)})
	}
}

func drawDomain(t *rapid.T, label string) []byte {
	out := map[string]any{}
	if rapid.Bool().Draw(t, label+" crash") {
		out["onCrash"] = rapid.SampledFrom([]string{"destroy", "restart"}).Draw(t, label+" onCrash")
	}
	if rapid.Bool().Draw(t, label+" os") {
		out["os"] = map[string]any{"firmware": rapid.SampledFrom([]string{"efi", "bios"}).Draw(t, label+" firmware")}
	}
	if rapid.Bool().Draw(t, label+" rngs") {
		out["devices"] = map[string]any{"rngs": []any{map[string]any{"model": rapid.SampledFrom([]string{"a", "b"}).Draw(t, label+" model")}}}
	}
	if len(out) == 0 {
		return nil
	}
	data, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Whatever a VM has and a class gives: what a VM is given stays as it is, however
// often its own document is written again, until it takes over the class anew;
// and then it is as if it had never had another class.
func TestAVMKeepsWhatItWasGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own, first, second := drawOwn(t, "own"), drawGiven(t, "first", 1), drawGiven(t, "second", 2)
		write := func(vm, old *v1alpha1.VirtualMachine, wish Wish, g *Given, before *v1alpha1.VirtualMachineClassSpec) {
			if errs, err := Write(vm, old, wish, g, before); len(errs) > 0 || err != nil {
				t.Fatalf("%v, %v", errs, err)
			}
		}
		same := func(what string, want, got *v1alpha1.VirtualMachine) {
			a, errA := json.Marshal(want)
			b, errB := json.Marshal(got)
			if string(a) != string(b) || errA != nil || errB != nil {
				t.Fatalf("%s:\n%s\nwant\n%s", what, b, a)
			}
		}
		vm := own.DeepCopy()
		write(vm, nil, Take, first, nil)
		if !Complete(vm) || vm.Spec.Class.Revision != 1 {
			t.Fatalf("%+v", vm.Spec)
		}

		// As kubectl apply does: the VM's own domain again, beside all else.
		again := vm.DeepCopy()
		again.Spec.Domain = own.Spec.Domain.DeepCopy()
		kept := &Given{Name: "small", Revision: 1, Spec: *Recorded(vm)}
		write(again, vm, Keep, kept, Recorded(vm))
		same("applied again", vm, again)

		unchanged := vm.DeepCopy()
		write(unchanged, vm, Take, first, Recorded(vm))
		same("taken over again", vm.DeepCopy(), sorted(unchanged, vm))

		// Nothing of the VM's own is also what the first class gave, so that nothing
		// is in doubt.
		if overlap(&own.Spec, &first.Spec) {
			return
		}
		anew, want := vm.DeepCopy(), own.DeepCopy()
		write(anew, vm, Take, second, Recorded(vm))
		write(want, nil, Take, second, nil)
		same("another class", want, anew)
	})
}

// sorted puts the devices of vm into the order of like: what the VM has of the
// class comes after its own.
func sorted(vm, like *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachine {
	out := vm.DeepCopy()
	out.Spec.Resources.Devices = nil
	for _, d := range like.Spec.Resources.Devices {
		for _, mine := range vm.Spec.Resources.Devices {
			if mine.Name == d.Name {
				out.Spec.Resources.Devices = append(out.Spec.Resources.Devices, mine)
			}
		}
	}
	return out
}

// overlap says whether something of the VM's own is equal to what a class gives.
func overlap(spec *v1alpha1.VirtualMachineSpec, class *v1alpha1.VirtualMachineClassSpec) bool {
	vm := &v1alpha1.VirtualMachineSpec{Resources: *spec.Resources.DeepCopy(), Domain: spec.Domain.DeepCopy()}
	if Own(vm, class, false) != nil {
		return true
	}
	before, errBefore := json.Marshal(v1alpha1.VirtualMachineSpec{Resources: spec.Resources, Domain: spec.Domain})
	after, errAfter := json.Marshal(vm)
	return errBefore != nil || errAfter != nil || string(before) != string(after)
}
