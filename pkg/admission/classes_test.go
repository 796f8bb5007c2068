package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/policy"
)

func schemeOf(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// classOf is a class of that name and revision.
func classOf(t *testing.T, name string, revision int64, spec string) *v1alpha1.VirtualMachineClass {
	t.Helper()
	c := &v1alpha1.VirtualMachineClass{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: revision}}
	if err := yaml.UnmarshalStrict([]byte(spec), &c.Spec); err != nil {
		t.Fatal(err)
	}
	return c
}

func document(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// asked returns what the webhook says to a VM that is written, and the VM as it
// becomes by that, in JSON.
func asked(t *testing.T, c *Classes, vm, old []byte) (admission.Response, []byte) {
	t.Helper()
	req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Operation: admissionv1.Create, Name: "vm", Namespace: "ns"}}
	req.Object = runtime.RawExtension{Raw: vm}
	if old != nil {
		req.Operation, req.OldObject = admissionv1.Update, runtime.RawExtension{Raw: old}
	}
	r := c.Handle(context.Background(), req)
	if len(r.Patches) == 0 {
		return r, vm
	}
	text, err := json.Marshal(r.Patches)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(vm)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r, out
}

const (
	head   = `{apiVersion: domus.dev/v1alpha1, kind: VirtualMachine, metadata: {name: vm, namespace: ns}, spec: `
	record = `{"resources":{"cpu":2,"memory":"4Gi"},"domain":{"onCrash":"restart"}}`
	// full is a VM of class small at revision 3.
	full = `{apiVersion: domus.dev/v1alpha1, kind: VirtualMachine, metadata: {name: vm, namespace: ns, annotations: {domus.dev/given-by-class: '` + record + `'}},
		spec: {class: {name: small, revision: 3}, resources: {cpu: 2, memory: 4Gi}, domain: {onCrash: restart, title: mine}}}`
)

func classes(t *testing.T, there ...client.Object) *Classes {
	t.Helper()
	scheme := schemeOf(t)
	return NewClasses(scheme, fake.NewClientBuilder().WithScheme(scheme).WithObjects(there...).Build())
}

func TestClassesFillIn(t *testing.T) {
	small := classOf(t, "small", 3, `{resources: {cpu: 2, memory: 4Gi}, domain: {onCrash: restart}}`)
	large := classOf(t, "large", 9, `{resources: {cpu: 8, memory: 16Gi}}`)
	change := func(document, from, to string) string {
		if !strings.Contains(document, from) {
			t.Fatalf("%s is not in %s", from, document)
		}
		return strings.Replace(document, from, to, 1)
	}
	larger := change(change(change(change(full, record, `{"resources":{"cpu":8,"memory":"16Gi"}}`), "name: small, revision: 3", "name: large, revision: 9"), "cpu: 2, memory: 4Gi}, ", "cpu: 8, memory: 16Gi}, "), "onCrash: restart, ", "")
	for name, test := range map[string]struct{ vm, old, want string }{
		"no resources at all":                        {vm: head + `{class: {name: small}, domain: {title: mine}}}`, want: full},
		"resources that are nothing":                 {vm: head + `{class: {name: small}, resources: {cpu: 0, memory: 0}, domain: {title: mine}}}`, want: full},
		"an overhead in another notation":            {vm: change(full, "cpu: 2", "overhead: 0.5Gi, cpu: 2"), old: change(full, "cpu: 2", "overhead: 512Mi, cpu: 2"), want: change(full, "cpu: 2", "overhead: 512Mi, cpu: 2")},
		"null":                                       {vm: head + `{class: {name: small}, resources: null, domain: {title: mine}}}`, want: full},
		"the revision that there is":                 {vm: head + `{class: {name: small, revision: 3}, domain: {title: mine}}}`, want: full},
		"applied again":                              {vm: change(full, "onCrash: restart, ", ""), old: full, want: full},
		"applied again, the class has moved":         {vm: change(change(full, "onCrash: restart, ", ""), "revision: 3", "revision: 2"), old: change(full, "revision: 3", "revision: 2"), want: change(full, "revision: 3", "revision: 2")},
		"the record was dropped":                     {vm: head + `{class: {name: small, revision: 3}, resources: {cpu: 2, memory: 4Gi}, domain: {title: mine}}}`, old: full, want: full},
		"nothing that matters is written":            {vm: full, old: full, want: full},
		"the class as it is now":                     {vm: change(change(full, ", revision: 3", ""), "cpu: 2", "cpu: 2, devices: [{name: vf}]"), old: change(full, "cpu: 2", "cpu: 2, devices: [{name: vf}]"), want: change(full, "cpu: 2", "devices: [{name: vf}], cpu: 2")},
		"another class":                              {vm: change(full, "name: small, revision: 3", "name: large"), old: full, want: larger},
		"another class by its name":                  {vm: change(full, "name: small", "name: large"), old: full, want: larger},
		"a VM from a backup":                         {vm: change(full, "revision: 3", "revision: 1"), want: change(full, "revision: 3", "revision: 1")},
		"a VM from a backup of a class that is gone": {vm: change(full, "small", "old"), want: change(full, "small", "old")},
		"a class that was taken away":                {vm: change(full, "name: small, ", ""), old: full, want: head + `{resources: {cpu: 2, memory: 4Gi}, domain: {onCrash: restart, title: mine}}}`},
		"no class":                                   {vm: head + `{resources: {cpu: 1, memory: 1Gi}}}`, want: head + `{resources: {cpu: 1, memory: 1Gi}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := classes(t, small, large)
			var old []byte
			if test.old != "" {
				old = document(t, test.old)
			}
			r, got := asked(t, c, document(t, test.vm), old)
			if !r.Allowed {
				t.Fatalf("%+v", r.Result)
			}
			same(t, document(t, test.want), got)
			// As often as it is asked.
			again, _ := asked(t, c, got, got)
			if !again.Allowed || len(again.Patches) != 0 {
				t.Errorf("asked again: %v %+v", again.Patches, again.Result)
			}
		})
	}
}

func same(t *testing.T, want, got []byte) {
	t.Helper()
	var a, b map[string]any
	if err := errors.Join(json.Unmarshal(want, &a), json.Unmarshal(got, &b)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []map[string]any{a, b} {
		if meta := m["metadata"].(map[string]any); meta["annotations"] != nil && len(meta["annotations"].(map[string]any)) == 0 {
			delete(meta, "annotations")
		}
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
}

func TestClassesRefuse(t *testing.T) {
	var many []client.Object
	for i := range 30 {
		many = append(many, classOf(t, fmt.Sprintf("c%02d", i), 1, `{resources: {cpu: 1, memory: 1Gi}}`))
	}
	small := classOf(t, "small", 3, `{resources: {cpu: 2, memory: 4Gi}}`)
	for name, test := range map[string]struct {
		vm, old string
		there   []client.Object
		want    []string
	}{
		"a class that is not there":         {vm: head + `{class: {name: huge}}}`, there: []client.Object{small, many[0]}, want: []string{`spec.class.name: Invalid value: "huge"`, "choose one of c00, small"}},
		"a class, and there are none":       {vm: head + `{class: {name: huge}}}`, want: []string{"spec.class.name", "there are none", "give spec.resources"}},
		"a class, and there are many":       {vm: head + `{class: {name: huge}}}`, there: many, want: []string{"choose one of the 30", "kubectl get virtualmachineclasses", "c19"}},
		"a name that cannot be":             {vm: head + `{class: {name: ../../secrets/x}}}`, there: []client.Object{small}, want: []string{"spec.class.name", "choose one of small"}},
		"a revision that is gone":           {vm: head + `{class: {name: small, revision: 2}}}`, there: []client.Object{small}, want: []string{"spec.class.revision: Invalid value: 2", "is at revision 3", "leave revision out"}},
		"a revision of what is not there":   {vm: head + `{class: {name: huge, revision: 2}}}`, there: []client.Object{small}, want: []string{"spec.class.name", "choose one of small"}},
		"a revision that another one has":   {vm: strings.Replace(full, "revision: 3", "revision: 7", 1), old: full, there: []client.Object{small}, want: []string{"spec.class.revision: Invalid value: 7", "is at revision 3"}},
		"a size of its own":                 {vm: head + `{class: {name: small}, resources: {cpu: 3, memory: 4Gi}}}`, there: []client.Object{small}, want: []string{"spec.resources.cpu: Forbidden", `name another class than "small"`}},
		"a size of its own, later":          {vm: strings.Replace(full, "memory: 4Gi}, domain", "memory: 5Gi}, domain", 1), old: full, want: []string{"spec.resources.memory: Forbidden"}},
		"its own size when it gets a class": {vm: head + `{class: {name: small}, resources: {cpu: 9, memory: 4Gi}}}`, old: head + `{resources: {cpu: 9, memory: 4Gi}}}`, there: []client.Object{small}, want: []string{"spec.resources.cpu: Forbidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			var old []byte
			if test.old != "" {
				old = document(t, test.old)
			}
			r, _ := asked(t, classes(t, test.there...), document(t, test.vm), old)
			if r.Allowed || r.Result.Code != http.StatusUnprocessableEntity {
				t.Fatalf("%v %+v", r.Patches, r.Result)
			}
			for _, want := range test.want {
				if !strings.Contains(r.Result.Message, want) {
					t.Errorf("does not say %q: %s", want, r.Result.Message)
				}
			}
		})
	}
}

// What the schema refuses is left to it: it names the path.
func TestClassesLeaveToTheSchemaWhatItRefuses(t *testing.T) {
	for _, spec := range []string{`{class: small}`, `{class: {name: small}, resources: {cpu: many}}`, `{class: {}}`, `{class: {revision: 3}}`} {
		if r, _ := asked(t, classes(t), document(t, head+spec+`}`), nil); !r.Allowed || len(r.Patches) != 0 {
			t.Errorf("%s: %+v", spec, r)
		}
	}
}

func TestClassesThatCannotBeRead(t *testing.T) {
	scheme := schemeOf(t)
	c := NewClasses(scheme, fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("out of luck")
		},
	}).Build())
	r, _ := asked(t, c, document(t, head+`{class: {name: small}}}`), nil)
	if r.Allowed || r.Result.Code != http.StatusInternalServerError || !strings.Contains(r.Result.Message, "reading VirtualMachineClass small") {
		t.Errorf("%+v", r.Result)
	}
	// One that keeps what it has needs no class.
	kept := document(t, full)
	if r, _ := asked(t, c, kept, kept); !r.Allowed {
		t.Errorf("%+v", r.Result)
	}
}

func TestClassValidator(t *testing.T) {
	v := NewClassValidator(schemeOf(t))
	for name, test := range map[string]struct {
		spec    string
		want    []string
		warning string
	}{
		"plain":                     {spec: `{resources: {cpu: 2, memory: 4Gi}, domain: {os: {firmware: efi}}}`},
		"memory of half a page":     {spec: `{resources: {cpu: 2, memory: 3Mi, hugepages: {pageSize: 2Mi}}}`, want: []string{"spec.resources.memory", "multiple of hugepages.pageSize"}},
		"no memory":                 {spec: `{resources: {cpu: 2, memory: 0}}`, want: []string{"spec.resources.memory", "at least 1Mi"}},
		"a key that is none":        {spec: `{resources: {cpu: 2, memory: 4Gi}, domain: {devices: {disk: []}}}`, want: []string{"spec.domain.devices.disk", "disks"}},
		"memory in the domain":      {spec: `{resources: {cpu: 2, memory: 4Gi}, domain: {memory: {value: 1, unit: GiB}}}`, want: []string{"spec.domain.memory", "spec.resources.memory"}},
		"threads that are shared":   {spec: `{resources: {cpu: 2, memory: 4Gi, threads: apart}}`, want: []string{"spec.resources.threads"}},
		"too much":                  {spec: `{resources: {cpu: 2, memory: 4Gi}, domain: {description: ` + strings.Repeat("x", 33<<10) + `}}`, want: []string{"at most 32768 bytes"}},
		"for privileged alone":      {spec: `{resources: {cpu: 2, memory: 4Gi}, domain: {os: {kernel: /boot/vmlinuz}}}`, warning: "domus.dev/policy-level=privileged can have this class: spec.domain.os.kernel: Forbidden: not allowed at policy level restricted"},
		"memory beyond the balloon": {spec: `{resources: {cpu: 2, memory: 4Gi, maxMemory: 8Gi}}`, warning: `can have this class: spec.resources.maxMemory: Invalid value: "8Gi": must be no more than memory (4Gi), since a guest may ignore its balloon, at policy level restricted`},
	} {
		t.Run(name, func(t *testing.T) {
			req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Operation: admissionv1.Create, Name: "c"}}
			req.Object.Raw = document(t, `{apiVersion: domus.dev/v1alpha1, kind: VirtualMachineClass, metadata: {name: c}, spec: `+test.spec+`}`)
			r := v.Handle(context.Background(), req)
			if r.Allowed != (test.want == nil) {
				t.Fatalf("%+v", r.Result)
			}
			for _, want := range test.want {
				if !strings.Contains(r.Result.Message, want) {
					t.Errorf("does not say %q: %s", want, r.Result.Message)
				}
			}
			if got := strings.Join(r.Warnings, "\n"); !strings.HasSuffix(got, test.warning) || test.warning == "" && got != "" {
				t.Errorf("warnings %q", got)
			}
		})
	}
}

// The sample classes are accepted, and can be had at every policy level.
func TestTheSampleClassesAreValid(t *testing.T) {
	samples, err := manifests.Samples()
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(samples, "classes/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d classes, %v", len(files), err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(samples, file)
		if err != nil {
			t.Fatal(err)
		}
		c := &v1alpha1.VirtualMachineClass{}
		if err := yaml.UnmarshalStrict(text, c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if errs := checkClass(c); len(errs) > 0 {
			t.Errorf("%s: %v", file, errs)
		}
		if errs := policy.CheckVirtualMachine(machineOf(c), v1alpha1.PolicyRestricted); len(errs) > 0 {
			t.Errorf("%s: %v", file, errs)
		}
	}
}
