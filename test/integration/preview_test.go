package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/test/internal/install"
)

// installPreview installs the kinds that are no part of the installation.
func installPreview(t *testing.T) {
	t.Helper()
	files, err := manifests.Preview()
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := install.Decode(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := install.Apply(t.Context(), suite.plane.client, "integration", kinds); err != nil {
		t.Fatal(err)
	}
}

// toCome is an object of a kind with a spec, in no namespace yet.
func toCome(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	return documentOf(t, fmt.Sprintf("{apiVersion: domus.dev/v1alpha1, kind: %s, metadata: {generateName: test-}, spec: %s}", kind, spec))
}

func TestKindsToComeAreCheckedByTheirSchemas(t *testing.T) {
	installPreview(t)
	ns := namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: string(v1alpha1.PolicyPrivileged)})
	for name, test := range map[string]struct{ kind, spec, want string }{
		"a blank disk":              {"VirtualDisk", `{size: 20Gi}`, ""},
		"a copy without a size":     {"VirtualDisk", `{source: {disk: {name: other}}}`, ""},
		"no size":                   {"VirtualDisk", `{}`, "size must be given for a disk that is not a copy"},
		"blank without a size":      {"VirtualDisk", `{source: {blank: {}}}`, "size must be given for a disk that is not a copy"},
		"two sources":               {"VirtualDisk", `{size: 1Gi, source: {blank: {}, image: {name: a}}}`, "exactly one"},
		"no source in it":           {"VirtualDisk", `{size: 1Gi, source: {}}`, "exactly one"},
		"another format":            {"VirtualDisk", `{size: 1Gi, format: vmdk}`, "Unsupported value"},
		"writers of one qcow2":      {"VirtualDisk", `{size: 1Gi, format: qcow2, accessMode: SharedReadWrite}`, "format must be raw for accessMode SharedReadWrite"},
		"writers of one raw disk":   {"VirtualDisk", `{size: 1Gi, format: raw, accessMode: SharedReadWrite}`, ""},
		"NAT":                       {"VirtualNetwork", `{type: nat, subnets: [{address: 192.168.122.1/24, dhcp: {ranges: [{start: 192.168.122.2, end: 192.168.122.254}]}}, {address: "fd00:db8::1/64"}]}`, ""},
		"a bridge":                  {"VirtualNetwork", `{type: bridge, bridgeName: br0, vlan: {ids: [42]}}`, ""},
		"macvtap":                   {"VirtualNetwork", `{type: direct, direct: {devices: [eth1]}}`, ""},
		"CNI":                       {"VirtualNetwork", `{type: cni, cni: {configName: pods}}`, ""},
		"a bridge without its name": {"VirtualNetwork", `{type: bridge}`, "bridgeName must be given for type bridge"},
		"direct without a device":   {"VirtualNetwork", `{type: direct}`, "direct must be given for type direct"},
		"direct of NAT":             {"VirtualNetwork", `{type: nat, direct: {devices: [eth1]}}`, "direct must be given for type direct, and for no other"},
		"CNI by a definition":       {"VirtualNetwork", `{type: cni, cni: {definitionName: lan}}`, ""},
		"CNI by both":               {"VirtualNetwork", `{type: cni, cni: {configName: pods, definitionName: lan}}`, "give configName, a CNI configuration of the hosts, or definitionName"},
		"CNI by nothing":            {"VirtualNetwork", `{type: cni, cni: {}}`, "give configName, a CNI configuration of the hosts, or definitionName"},
		"CNI of libvirt":            {"VirtualNetwork", `{type: cni, cni: {configName: a}, network: {}}`, "network is not for type cni"},
		"no prefix":                 {"VirtualNetwork", `{type: nat, subnets: [{address: 192.168.122.1}]}`, "must be an address with the length of its prefix"},
		"subnets of a bridge":       {"VirtualNetwork", `{type: bridge, bridgeName: br0, subnets: [{address: 10.0.0.1/8}]}`, "subnets are for type nat, isolated and routed"},
		"MTU of a bridge":           {"VirtualNetwork", `{type: bridge, bridgeName: br0, mtu: 1500}`, "mtu is for type nat, isolated and routed"},
		"device of a bridge":        {"VirtualNetwork", `{type: bridge, bridgeName: br0, device: eth0}`, "device is for type nat and routed"},
		"no VLAN":                   {"VirtualNetwork", `{type: bridge, bridgeName: br0, vlan: {ids: [4096]}}`, "4095"},
		"a snapshot":                {"VirtualMachineSnapshot", `{virtualMachineName: web}`, ""},
		"a snapshot of nothing":     {"VirtualMachineSnapshot", `{memory: None}`, "virtualMachineName"},
		"a folder":                  {"StoragePool", `{type: dir, targetPath: /srv/images}`, ""},
		"NFS":                       {"StoragePool", `{type: netfs, targetPath: /mnt, source: {hosts: [{name: nfs.example}], directory: /exports}}`, ""},
		"a folder without its path": {"StoragePool", `{type: dir}`, "targetPath must be given for type dir"},
		"Ceph without monitors":     {"StoragePool", `{type: rbd, source: {name: rbd}}`, "source.hosts must be given for type netfs, iscsi and rbd"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := toCome(t, test.kind, test.spec)
			if test.kind != "StoragePool" {
				obj.SetNamespace(ns)
			}
			err := suite.client.Create(t.Context(), obj, client.DryRunAll)
			if test.want == "" && err != nil || test.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v\nwant %q", err, test.want)
			}
		})
	}
}

func TestWhatOfTheKindsToComeMayChange(t *testing.T) {
	installPreview(t)
	ns := namespace(t, nil)
	for name, test := range map[string]struct{ kind, from, to, want string }{
		"a network of another type": {"VirtualNetwork", `{type: nat, subnets: [{address: 192.168.122.1/24}]}`, `{type: isolated}`, "type must not change"},
		"a snapshot's description":  {"VirtualMachineSnapshot", `{virtualMachineName: web}`, `{virtualMachineName: web, description: kept, memory: None, quiesce: IfPossible}`, ""},
		"a snapshot of another VM":  {"VirtualMachineSnapshot", `{virtualMachineName: web}`, `{virtualMachineName: db, memory: None, quiesce: IfPossible}`, "virtualMachineName must not change"},
		"a snapshot's memory":       {"VirtualMachineSnapshot", `{virtualMachineName: web}`, `{virtualMachineName: web, memory: Internal, quiesce: IfPossible}`, "memory and quiesce must not change"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := toCome(t, test.kind, test.from)
			obj.SetNamespace(ns)
			create(t, obj)
			obj.Object["spec"] = toCome(t, test.kind, test.to).Object["spec"]
			err := suite.client.Update(t.Context(), obj)
			if test.want == "" && err != nil || test.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v\nwant %q", err, test.want)
			}
		})
	}
}

// What the convertor makes of documents is what the API server takes, and as
// which it comes back.
func TestObjectsOfDocumentsAreTakenByTheAPIServer(t *testing.T) {
	installPreview(t)
	ns := namespace(t, map[string]string{v1alpha1.PolicyLevelLabel: string(v1alpha1.PolicyPrivileged)})
	const testdata = "../../pkg/convert/objects/testdata"
	for _, name := range []string{"network", "direct", "pool", "snapshot"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(testdata, name+".xml"))
			if err != nil {
				t.Fatal(err)
			}
			obj, err := objects.FromXML(name+".xml", text, objects.FromOptions{Namespace: ns})
			if err != nil {
				t.Fatal(err)
			}
			before, err := objects.ToXML(obj, objects.ToOptions{Bare: true})
			if err != nil {
				t.Fatal(err)
			}
			create(t, obj)
			get(t, client.ObjectKeyFromObject(obj), obj)
			after, err := objects.ToXML(obj, objects.ToOptions{Bare: true})
			if err != nil {
				t.Fatal(err)
			}
			if string(before) != string(after) {
				t.Errorf("%s\nbecame\n%s", before, after)
			}
		})
	}
}

// A user who makes a disk that nothing makes must learn it: the kinds are not
// there.
func TestKindsToComeAreNotInstalled(t *testing.T) {
	files, err := manifests.Base()
	if err != nil {
		t.Fatal(err)
	}
	preview, err := manifests.Preview()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range preview {
		var crd unstructured.Unstructured
		if err := yaml.Unmarshal(file, &crd.Object); err != nil {
			t.Fatal(err)
		}
		if crd.GetKind() == "CustomResourceDefinition" {
			names[crd.GetName()] = true
			if !strings.Contains(string(file), "not acted upon yet") && !strings.Contains(strings.Join(strings.Fields(string(file)), " "), "is not acted upon yet") {
				t.Errorf("%s does not say that nothing acts on it", crd.GetName())
			}
		}
	}
	if len(names) != 1 {
		t.Errorf("%d kinds", len(names))
	}
	for _, file := range files {
		for name := range names {
			if strings.Contains(string(file), "name: "+name) {
				t.Errorf("%s is installed", name)
			}
		}
	}
}
