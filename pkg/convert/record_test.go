package convert_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/tree"
)

func specOf(t *testing.T, document string) *v1alpha1.VirtualMachineSpec {
	t.Helper()
	spec := &v1alpha1.VirtualMachineSpec{}
	if err := yaml.UnmarshalStrict([]byte(document), spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestSpecChanged(t *testing.T) {
	const plain = `{resources: {cpu: 2, memory: 4Gi}, domain: {os: {firmware: efi}, devices: {disks: [{device: disk}]}}}`
	for name, test := range map[string]struct {
		then, now string
		want      []string
	}{
		"nothing":                           {plain, plain, nil},
		"another notation of memory":        {plain, strings.Replace(plain, "4Gi", "4096Mi", 1), nil},
		"and plain bytes":                   {plain, strings.Replace(plain, "4Gi", "4294967296", 1), nil},
		"defaults that are said":            {plain, strings.Replace(plain, "4Gi", "4Gi, numa: none, cpuPolicy: shared", 1), nil},
		"one device that is counted":        {`{resources: {cpu: 1, memory: 1Gi, devices: [{name: b}, {name: a}]}}`, `{resources: {cpu: 1, memory: 1Gi, devices: [{name: a, count: 1}, {name: b}]}}`, nil},
		"threads as they are by default":    {`{resources: {cpu: 1, memory: 1Gi, cpuPolicy: dedicated}}`, `{resources: {cpu: 1, memory: 1Gi, cpuPolicy: dedicated, threads: together}}`, nil},
		"keys in another order":             {plain, `{domain: {devices: {disks: [{device: disk}]}, os: {firmware: efi}}, resources: {memory: 4Gi, cpu: 2}}`, nil},
		"what no guest is started with":     {plain, strings.Replace(plain, "{resources", "{powerState: Stopped, nodeSelector: {a: b}, terminationGracePeriodSeconds: 5, class: {name: x, revision: 3}, resources", 1), nil},
		"memory":                            {plain, strings.Replace(plain, "4Gi", "8Gi", 1), []string{"spec.resources.memory"}},
		"CPUs and a disk":                   {plain, `{resources: {cpu: 4, memory: 4Gi}, domain: {os: {firmware: efi}, devices: {disks: [{device: disk}, {device: disk}]}}}`, []string{"spec.domain.devices.disks", "spec.resources.cpu"}},
		"the only device of a kind is gone": {plain, `{resources: {cpu: 2, memory: 4Gi}, domain: {os: {firmware: efi}}}`, []string{"spec.domain.devices.disks"}},
		"all of the domain is gone":         {plain, `{resources: {cpu: 2, memory: 4Gi}}`, []string{"spec.domain.devices.disks", "spec.domain.os.firmware"}},
		"an empty object is filled":         {`{resources: {cpu: 1, memory: 1Gi}, domain: {features: {}}}`, `{resources: {cpu: 1, memory: 1Gi}, domain: {features: {acpi: true}}}`, []string{"spec.domain.features"}},
		"each of the resources": {plain, strings.Replace(plain, "4Gi", "4Gi, hugepages: {pageSize: 2Mi}, numa: spread, cpuPolicy: dedicated, threads: apart, overhead: 300Mi, devices: [{name: gpu}]", 1), []string{
			"spec.resources.cpuPolicy", "spec.resources.devices", "spec.resources.hugepages", "spec.resources.numa", "spec.resources.overhead", "spec.resources.threads",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, way := range []struct{ then, now string }{{test.then, test.now}, {test.now, test.then}} {
				got, known := convert.RecordSpec(specOf(t, way.then)).Changed(specOf(t, way.now))
				if diff := cmp.Diff(test.want, got); diff != "" || !known {
					t.Errorf("from %s to %s: known %t, %s", way.then, way.now, known, diff)
				}
			}
		})
	}
}

func TestARecordOfAGuestThatHasGrown(t *testing.T) {
	const before = `{resources: {cpu: 2, memory: 4Gi, maxCPU: 4, maxMemory: 8Gi}, domain: {os: {firmware: efi}}}`
	record := convert.RecordSpec(specOf(t, before))
	after := specOf(t, `{resources: {cpu: 4, memory: 8192Mi, maxCPU: 4, maxMemory: 8Gi}, domain: {os: {firmware: bios}}}`)
	both := []string{"spec.domain.os.firmware", "spec.resources.cpu", "spec.resources.memory"}
	if changed, _ := record.Changed(after); !cmp.Equal(changed, both) {
		t.Errorf("before it has grown: %v", changed)
	}
	grown := record.Resized(v1alpha1.GuestSize{CPU: 4, Memory: 8 << 30})
	if changed, known := grown.Changed(after); !known || !cmp.Equal(changed, both[:1]) {
		t.Errorf("after: %v, %t", changed, known)
	}
	if back := grown.Resized(v1alpha1.GuestSize{CPU: 2, Memory: 4 << 30}); back != record {
		t.Errorf("back again: %s, was %s", back, record)
	}
	if got := convert.SpecRecord("").Resized(v1alpha1.GuestSize{CPU: 4, Memory: 8 << 30}); got != "" {
		t.Errorf("a domain without a record: %s", got)
	}
	wider := specOf(t, `{resources: {cpu: 2, memory: 4Gi, maxCPU: 8}, domain: {os: {firmware: efi}}}`)
	if changed, _ := record.Changed(wider); !cmp.Equal(changed, []string{"spec.resources.maxCPU", "spec.resources.maxMemory"}) {
		t.Errorf("another reach: %v", changed)
	}
}

func TestARecordThatTellsNothing(t *testing.T) {
	spec := specOf(t, `{resources: {cpu: 2, memory: 4Gi}}`)
	for _, r := range []convert.SpecRecord{"", "2:0 resources.cpu=x", "nonsense", "1:x", "1:0 broken", convert.SpecRecord(strings.Repeat("1:0 a=b ", 4000))} {
		if changed, known := r.Changed(spec); known || changed != nil {
			t.Errorf("%.20q: %v", r, changed)
		}
	}
}

func TestARecordIsCompactAndHoldsNoValues(t *testing.T) {
	spec := specOf(t, `{resources: {cpu: 2, memory: 4Gi}, domain: {devices: {graphics: [{vnc: {passwd: hush-hush}}]}}}`)
	record := string(convert.RecordSpec(spec))
	if strings.Contains(record, "hush") {
		t.Error(record)
	}
	const want = "1:0 domain.devices.graphics="
	if !strings.HasPrefix(record, want) || len(record) > 200 {
		t.Errorf("%s (%d bytes), want %s", record, len(record), want)
	}
}

// A domain that says all that libvirt's schema has outside of lists has a record
// all the same, less deep.
func TestARecordIsBounded(t *testing.T) {
	spec := specOf(t, `{resources: {cpu: 2, memory: 4Gi}}`)
	domain := map[string]any{}
	read := func() bool {
		raw, err := json.Marshal(domain)
		if err != nil {
			t.Fatal(err)
		}
		spec.Domain = &runtime.RawExtension{Raw: raw}
		_, errs := convert.UserDomain(&v1alpha1.VirtualMachine{Spec: *spec})
		return len(errs) == 0
	}
	values := map[tree.LeafKind]any{tree.LeafString: "x", tree.LeafNumber: 1, tree.LeafFlag: true}
	leaves := 0
	for _, leaf := range tree.Leaves[libvirtxml.Domain]() {
		value, simple := values[leaf.Kind]
		if !simple || strings.Contains(leaf.Path, "[]") {
			continue
		}
		path := strings.Split(leaf.Path, ".")
		if put(domain, path, value); !read() { // a second variant
			take(domain, path)
			continue
		}
		leaves++
	}
	if !read() {
		t.Fatal("the domain cannot be read")
	}
	record := convert.RecordSpec(spec)
	t.Logf("%d leaves, a record of %d bytes: %.80s", leaves, len(record), record)
	if leaves < 200 || len(record) > 8<<10 || strings.HasPrefix(string(record), "1:0 ") {
		t.Errorf("%d leaves, a record of %d bytes: %.80s", leaves, len(record), record)
	}
	if changed, known := record.Changed(spec); !known || changed != nil {
		t.Errorf("known %t, changed %v", known, changed)
	}
	put(domain, []string{"os", "type", "machine"}, "y")
	if changed, _ := record.Changed(specWith(t, spec, domain)); !cmp.Equal(changed, []string{"spec.domain.os.type"}) {
		t.Errorf("changed %v", changed)
	}
}

func specWith(t *testing.T, spec *v1alpha1.VirtualMachineSpec, domain map[string]any) *v1alpha1.VirtualMachineSpec {
	t.Helper()
	raw, err := json.Marshal(domain)
	if err != nil {
		t.Fatal(err)
	}
	out := spec.DeepCopy()
	out.Domain = &runtime.RawExtension{Raw: raw}
	return out
}

func put(in map[string]any, path []string, value any) {
	for ; len(path) > 1; path = path[1:] {
		if _, there := in[path[0]]; !there {
			in[path[0]] = map[string]any{}
		}
		in = in[path[0]].(map[string]any)
	}
	in[path[0]] = value
}

// take takes a leaf away, and the objects that held nothing else.
func take(in map[string]any, path []string) {
	if len(path) > 1 {
		inner := in[path[0]].(map[string]any)
		if take(inner, path[1:]); len(inner) > 0 {
			return
		}
	}
	delete(in, path[0])
}

func TestTheMarkHasTheRecordOfTheSpec(t *testing.T) {
	vm := machine(t, `{os: {firmware: efi}}`)
	domain, err := convert.Domain(input(vm))
	if err != nil {
		t.Fatal(err)
	}
	o, found, err := convert.ParseOwnership(domain.Metadata.XML)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if changed, known := o.Spec.Changed(&vm.Spec); !known || changed != nil {
		t.Errorf("known %t, changed %v", known, changed)
	}
	vm.Spec.Domain = nil
	if changed, _ := o.Spec.Changed(&vm.Spec); !cmp.Equal(changed, []string{"spec.domain.os.firmware"}) {
		t.Errorf("changed %v", changed)
	}
}
