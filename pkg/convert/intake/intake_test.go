package intake_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/intake"
	"domus.dev/domus/pkg/convert/objects"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestForeignMachinesComeOutUsable(t *testing.T) {
	for name, opts := range map[string]intake.Options{
		"openstack": {
			Namespace: "demo",
			Pools:     []intake.Pool{{Name: "default", Path: "/var/lib/libvirt/images/"}, {Name: "ceph", Ceph: "volumes"}},
			Networks:  map[string]string{"br-int": "default"},
		},
		"ovirt": {
			Namespace:     "demo",
			Pools:         []intake.Pool{{Name: "default", Path: "/var/lib/libvirt/images"}},
			Networks:      map[string]string{"ovirtmgmt": "default"},
			Devices:       map[string]string{"0000:3b:00.0": "gpu"},
			RemoveRefused: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			vm, changes, refusals := intake.Machine(read(t, name), opts)
			var out strings.Builder
			raw, err := objects.Manifest(vm)
			if err != nil {
				t.Fatal(err)
			}
			text, err := yaml.JSONToYAML(raw)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(text)
			out.WriteString("---\nchanges:\n")
			for _, c := range changes {
				out.WriteString("- " + c.String() + "\n")
			}
			out.WriteString("refusals:\n")
			for _, r := range refusals {
				out.WriteString("- " + r.Error() + "\n")
			}
			golden(t, filepath.Join("testdata", name+".golden"), out.String())
		})
	}
}

func read(t *testing.T, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	obj, err := objects.FromXML(name+".xml", text, objects.FromOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return obj.(*v1alpha1.VirtualMachine)
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
