package objects_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/convert/xmldoc"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDocumentsAreTheseObjects(t *testing.T) {
	for _, name := range []string{"domain", "network", "direct", "volume", "pool", "snapshot"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name+".xml"))
			if err != nil {
				t.Fatal(err)
			}
			obj := read(t, string(text))
			golden(t, filepath.Join("testdata", name+".yaml"), asYAML(t, obj))
			roundTrip(t, name+".xml", text)
		})
	}
}

// objectsOfPeople hold what libvirt has no words for.
var objectsOfPeople = map[string]string{
	"a machine of Domus' own": `
apiVersion: domus.dev/v1alpha1
kind: VirtualMachine
metadata:
  name: web
  namespace: demo
  labels: {app: web, app.kubernetes.io/part-of: "shop <&> more -- of it"}
  annotations: {note: "100%"}
spec:
  resources: {cpu: 2, memory: 1G, numa: single-cell, devices: [{name: gpu, count: 2}]}
  nodeSelector: {disk: fast}
  runPolicy: OnFailure
  class: {name: medium, revision: 3}
  terminationGracePeriodSeconds: 0
  domain:
    devices:
      channels: []
      disks:
      - driver: {name: qemu, type: qcow2}
        source: {volume: {pool: default, volume: demo.web}}
        target: {dev: vda, bus: virtio}
    features: {}
`,
	"a machine with nothing but its size": `
apiVersion: domus.dev/v1alpha1
kind: VirtualMachine
metadata: {name: a}
spec: {resources: {cpu: 1, memory: 512Mi}}
`,
	"a disk": `
apiVersion: domus.dev/v1alpha1
kind: VirtualDisk
metadata: {name: data, namespace: demo, labels: {a: "--"}}
spec:
  size: 20Gi
  format: qcow2
  poolName: default
  source: {image: {name: debian-12}}
  accessMode: SingleWriter
  reclaimPolicy: Retain
  volume: {target: {compat: "1.1"}}
`,
	"a network": `
apiVersion: domus.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: lab, namespace: demo}
spec:
  type: isolated
  subnets:
  - address: 10.0.0.1/8
    dhcp: {ranges: [{start: 10.0.0.2, end: 10.0.0.9}]}
  nodeSelector: {rack: "1"}
`,
	"a bridge": `
apiVersion: domus.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: office, namespace: demo}
spec: {type: bridge, bridgeName: br0, vlan: {ids: [42]}}
`,
	"a snapshot": `
apiVersion: domus.dev/v1alpha1
kind: VirtualMachineSnapshot
metadata: {name: before, namespace: demo}
spec: {virtualMachineName: web, memory: Internal, quiesce: Require, description: all is well}
`,
	"a pool": `
apiVersion: domus.dev/v1alpha1
kind: StoragePool
metadata: {name: fast}
spec:
  type: logical
  targetPath: /dev/vg0
  source: {name: vg0, devices: [/dev/sdb, /dev/sdc], format: lvm2}
  shared: false
  nodeSelector: {disk: fast}
`,
}

func TestWhatLibvirtHasNoWordsForComesBackToo(t *testing.T) {
	for name, text := range objectsOfPeople {
		t.Run(name, func(t *testing.T) {
			want := parse(t, text)
			document := write(t, want)
			got := read(t, document)
			if diff := cmp.Diff(indented(t, want), indented(t, got)); diff != "" {
				t.Errorf("%s\n%s", diff, document)
			}
			if again := write(t, got); again != document {
				t.Error(cmp.Diff(document, again))
			}
		})
	}
}

func TestABareDocumentHasLibvirtsWordsOnly(t *testing.T) {
	for name, text := range objectsOfPeople {
		bare, err := objects.ToXML(parse(t, text), objects.ToOptions{Bare: true})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(bare), "domus.dev") {
			t.Errorf("%s: %s", name, bare)
		}
	}
}

func TestWhoEditsTheObjectWins(t *testing.T) {
	const document = `<domain type='kvm'><name>My VM</name><uuid>7D9C1C2E-4B0E-4A52-9F7D-2F5A0C1BE001</uuid>
<memory unit='GiB'>4</memory><vcpu>2</vcpu><memoryBacking><hugepages><page size='1' unit='G'/></hugepages></memoryBacking></domain>`
	for name, test := range map[string]struct {
		edit         func(vm *v1alpha1.VirtualMachine)
		want, remain []string
	}{
		"nothing": {
			func(*v1alpha1.VirtualMachine) {},
			[]string{"<name>My VM</name>", "<uuid>7D9C1C2E-4B0E-4A52-9F7D-2F5A0C1BE001</uuid>", "<memory unit='GiB'>4</memory>", "<vcpu>2</vcpu>", "<page size='1' unit='G'/>"}, nil,
		},
		"the name": {
			func(vm *v1alpha1.VirtualMachine) { vm.Name = "web" },
			[]string{"<name>web</name>"}, []string{"<memory unit='GiB'>4</memory>"},
		},
		"the size": {
			func(vm *v1alpha1.VirtualMachine) {
				vm.Spec.Resources.CPU = 3
				vm.Spec.Resources.Memory.Set(8 << 30)
			},
			[]string{"<memory unit='KiB'>8388608</memory>", "<currentMemory unit='KiB'>8388608</currentMemory>", "<vcpu placement='static'>3</vcpu>"},
			[]string{"<name>My VM</name>", "<page size='1' unit='G'/>"},
		},
		"the pages": {
			func(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.Hugepages.PageSize = v1alpha1.PageSize2Mi },
			[]string{"<page size='2048' unit='KiB'/>"}, []string{"<memory unit='GiB'>4</memory>"},
		},
		"the UUID": {
			func(vm *v1alpha1.VirtualMachine) { vm.Spec.UUID = "00000000-0000-4000-8000-000000000001" },
			[]string{"<uuid>00000000-0000-4000-8000-000000000001</uuid>"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			vm := read(t, document).(*v1alpha1.VirtualMachine)
			test.edit(vm)
			written := write(t, vm)
			for _, line := range append(test.want, test.remain...) {
				if !strings.Contains(written, line) {
					t.Errorf("%s is missing in\n%s", line, written)
				}
			}
		})
	}
}

func TestWhoEditsTheDocumentWins(t *testing.T) {
	vm := parse(t, objectsOfPeople["a machine of Domus' own"])
	document := write(t, vm)
	edited := strings.Replace(document, "<memory unit='bytes'>1000000000</memory>", "<memory unit='GiB'>3</memory>", 1)
	edited = strings.Replace(edited, "<currentMemory unit='bytes'>1000000000</currentMemory>", "<currentMemory unit='GiB'>3</currentMemory>", 1)
	edited = strings.Replace(edited, "<vcpu placement='static'>2</vcpu>", "<vcpu placement='static'>6</vcpu>", 1)
	edited = strings.Replace(edited, "<name>web</name>", "<name>other</name>", 1)
	got := read(t, edited).(*v1alpha1.VirtualMachine)
	if r := got.Spec.Resources; got.Name != "other" || r.CPU != 6 || r.Memory.String() != "3Gi" {
		t.Errorf("%s has %d vCPUs and %s", got.Name, r.CPU, r.Memory.String())
	}
	if got.Spec.NodeSelector["disk"] != "fast" || got.Labels["app"] != "web" || got.Namespace != "demo" || got.Spec.Resources.NUMA != "single-cell" {
		t.Errorf("what was not edited is lost: %s", indented(t, got))
	}
}

func TestRenamingKeepsTheNameInTheDocument(t *testing.T) {
	vm := read(t, `<domain type='kvm'><name>instance-0000002a</name><memory>1048576</memory></domain>`)
	if err := objects.Rename(vm, "web"); err != nil {
		t.Fatal(err)
	}
	if document := write(t, vm); !strings.Contains(document, "<name>instance-0000002a</name>") {
		t.Error(document)
	}
	named, err := objects.FromXML("", []byte(write(t, vm)), objects.FromOptions{Name: "db", Namespace: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	if named.GetName() != "db" || named.GetNamespace() != "demo" {
		t.Errorf("%s/%s", named.GetNamespace(), named.GetName())
	}
	if document := write(t, named); !strings.Contains(document, "<name>instance-0000002a</name>") {
		t.Error(document)
	}
}

func TestALiveObjectIsWrittenWithoutWhatItsClusterAdds(t *testing.T) {
	vm := parse(t, objectsOfPeople["a machine with nothing but its size"]).(*v1alpha1.VirtualMachine)
	vm.UID, vm.ResourceVersion, vm.Generation = "7d9c1c2e-4b0e-4a52-9f7d-2f5a0c1be001", "12", 3
	vm.Finalizers = []string{v1alpha1.DomainFinalizer}
	vm.Status.Epoch = 4
	before := vm.DeepCopy()
	want := `<domain>
  <name>a</name>
  <uuid>7d9c1c2e-4b0e-4a52-9f7d-2f5a0c1be001</uuid>
  <memory unit='KiB'>524288</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static'>1</vcpu>
</domain>
`
	if diff := cmp.Diff(want, write(t, vm)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, vm); diff != "" {
		t.Errorf("the object was changed: %s", diff)
	}
}

func TestContradictionsAreRefusedWithTheirPath(t *testing.T) {
	vm := func(mutate func(*v1alpha1.VirtualMachine), domain string) client.Object {
		vm := parse(t, objectsOfPeople["a machine with nothing but its size"]).(*v1alpha1.VirtualMachine)
		raw, err := yaml.YAMLToJSON([]byte(domain))
		if err != nil {
			t.Fatal(err)
		}
		vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
		if mutate != nil {
			mutate(vm)
		}
		return vm
	}
	for name, test := range map[string]struct {
		obj  client.Object
		want string
	}{
		"another number of vCPUs": {vm(nil, `{vcpu: {value: 4}}`), `spec.domain.vcpu.value: Invalid value: 4: is given twice`},
		"another amount":          {vm(nil, `{memory: {value: 4, unit: GiB}}`), `spec.domain.memory: Invalid value: 4: is given twice`},
		"another name":            {vm(nil, `{name: b}`), `spec.domain.name: Invalid value: "b": is given twice`},
		"other pages": {vm(func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: "2Mi"}
		}, `{memoryBacking: {memoryHugePages: {}}}`), `spec.domain.memoryBacking.memoryHugePages: Invalid value: is given twice`},
		"an unknown key": {vm(nil, `{devices: {dsks: []}}`), `spec.domain.devices.dsks: Invalid value: unknown key: did you mean "disks"`},
		"broken notation": {vm(func(vm *v1alpha1.VirtualMachine) {
			vm.Annotations = map[string]string{v1alpha1.NotationAnnotation: "{"}
		}, `{}`), `metadata.annotations[domus.dev/libvirt-notation]: Invalid value: cannot be read`},
		"broken metadata": {vm(func(vm *v1alpha1.VirtualMachine) {
			vm.Annotations = map[string]string{v1alpha1.MetadataAnnotation: "<a>"}
		}, `{}`), `metadata.annotations[domus.dev/libvirt-metadata]: Invalid value: is not the inside of an XML element`},
		"a CNI network": {parse(t, `{apiVersion: domus.dev/v1alpha1, kind: VirtualNetwork, metadata: {name: a}, spec: {type: cni, cni: {configName: a}}}`),
			`spec.type: Invalid value: "cni": is a network of Kubernetes'`},
		"no address": {parse(t, `{apiVersion: domus.dev/v1alpha1, kind: VirtualNetwork, metadata: {name: a}, spec: {type: nat, subnets: [{address: 10.0.0.1}]}}`),
			`spec.subnets[0].address: Invalid value: "10.0.0.1": must be an address with the length of its prefix`},
		"another format": {parse(t, `{apiVersion: domus.dev/v1alpha1, kind: VirtualDisk, metadata: {name: a}, spec: {size: 1Gi, format: raw, volume: {target: {format: {type: qcow2}}}}}`),
			`spec.volume.target.format.type: Invalid value: "qcow2": is given twice`},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := objects.ToXML(test.obj, objects.ToOptions{})
			if err == nil {
				t.Fatalf("was written: %s", text)
			}
			if !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
}

func TestDocumentsThatCannotBeReadNameTheirLine(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"broken":            {"<domain>\n<name>a</domain>", "a.xml:2:"},
		"another root":      {"<secret/>", "a.xml:1:1: "},
		"no number":         {"<domain><name>a</name>\n<vcpu>two</vcpu></domain>", "a.xml:2:1: domain/vcpu"},
		"too large":         {"<domain><name>a</name><description>" + strings.Repeat("x", 128<<10) + "</description></domain>", "a.xml: is too large"},
		"two names":         {"<domain><name>a</name>\n<name>b</name></domain>", "a.xml:2:1: domain/name: is there twice, first in column 9 of line 1: libvirt takes the first: leave one of them"},
		"two of a network":  {"<network><name>a</name>\n<name>a</name></network>", "a.xml:2:1: network/name: is there twice"},
		"two memories":      {"<domain><name>a</name><memory>1024</memory>\n<memory>2048</memory></domain>", "a.xml:2:1: domain/memory: is there twice"},
		"too much memory":   {"<domain><name>a</name>\n<memory>18446744073709551615</memory></domain>", "a.xml:2:1: domain/memory: is 18446744073709551615 KiB, which is too large: libvirt takes at most 9007199254740991 KiB"},
		"memory beyond":     {"<domain><name>a</name>\n<memory unit='GiB'>8589934592</memory></domain>", "a.xml:2:1: domain/memory: is 8589934592 GiB, which is too large"},
		"a unit of nobody":  {"<domain><name>a</name>\n<memory unit='XiB'>1</memory></domain>", `a.xml:2:1: domain/memory/@unit: is "XiB", which is no unit of libvirt's: write KiB, MiB or GiB`},
		"memory of a cell":  {"<domain><name>a</name><cpu><numa>\n<cell cpus='0' memory='18446744073709551615'/></numa></cpu></domain>", "a.xml:2:1: domain/cpu/numa/cell/@memory: is 18446744073709551615 KiB, which is too large"},
		"a memo of nothing": {"<domain><name>a</name>\n<metadata><o:object xmlns:o='" + objects.MemoNamespace + "'>{</o:object></metadata></domain>", "a.xml:2:1: domain/metadata: holds differences that cannot be read"},
		"a memo of another kind": {"<domain><name>a</name>\n<metadata><o:object xmlns:o='" + objects.MemoNamespace + `'>[{"at":"/kind","from":"VirtualMachine","to":"Secret"}]</o:object></metadata></domain>`,
			"a.xml:2:1: domain/metadata: holds what is no object of Domus"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := objects.FromXML("a.xml", []byte(test.text), objects.FromOptions{})
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%v\nwant %s", err, test.want)
			}
			if errs := (xmldoc.Errors{}); !errors.As(err, &errs) {
				t.Errorf("%T", err)
			}
		})
	}
}

func TestAsMuchMemoryAsLibvirtTakesIsRead(t *testing.T) {
	obj, err := objects.FromXML("a.xml", []byte("<domain><name>a</name><memory>9007199254740991</memory></domain>"), objects.FromOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := obj.(*v1alpha1.VirtualMachine).Spec.Resources.Memory; got.Value() != 9007199254740991*1024 {
		t.Errorf("%s", got.String())
	}
}

func TestNames(t *testing.T) {
	for libvirts, want := range map[string]string{
		"web":                   "web",
		"QEMUGuest1":            "qemuguest1",
		"My VM #1":              "my-vm-1",
		"db_01":                 "db-01",
		"web.example.com":       "web.example.com",
		"-a..b-.c-":             "a.b-c",
		"sparse-qcow2.img":      "sparse-qcow2.img",
		"demo:web":              "demo-web",
		"虚拟机":                   "xf3fb4b3a",
		"":                      "",
		strings.Repeat("a", 63): strings.Repeat("a", 63),
	} {
		if got := objects.Name(libvirts); got != want {
			t.Errorf("%q is %q, not %q", libvirts, got, want)
		}
	}
	if long := objects.Name(strings.Repeat("a.", 40)); len(long) > 63 || long == objects.Name(strings.Repeat("a.", 41)) {
		t.Errorf("%q", long)
	}
}

func read(t *testing.T, text string) client.Object {
	t.Helper()
	obj, err := objects.FromXML("test.xml", []byte(text), objects.FromOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func write(t *testing.T, obj client.Object) string {
	t.Helper()
	text, err := objects.ToXML(obj, objects.ToOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parse reads an object from YAML.
func parse(t *testing.T, text string) client.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
		t.Fatal(err)
	}
	obj, err := scheme.New(v1alpha1.GroupVersion.WithKind(kind.Kind))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatal(err)
	}
	return obj.(client.Object)
}

func asYAML(t *testing.T, obj client.Object) string {
	t.Helper()
	raw, err := objects.Manifest(obj)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.JSONToYAML(raw)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}
