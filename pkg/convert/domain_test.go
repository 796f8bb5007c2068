package convert_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/cpuset"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

var update = flag.Bool("update", false, "write the golden files anew")

const mib = 1 << 20

// machine is a placed VM of 2 CPUs and 512 MiB whose spec.domain is the YAML.
func machine(t *testing.T, domain string) *v1alpha1.VirtualMachine {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "demo", Name: "web", UID: "0d0b6f4e-5b1c-4c1f-9d57-1f6ad1f0a001", Generation: 3,
		},
		Status: v1alpha1.VirtualMachineStatus{
			Epoch: 5,
			Placement: &v1alpha1.Placement{
				NodeName: "host-1",
				Granted:  v1alpha1.GrantedResources{CPU: 2, Memory: 512 * mib, Overhead: 145 * mib},
			},
		},
	}
	if domain != "" {
		raw, err := yaml.YAMLToJSON([]byte(domain))
		if err != nil {
			t.Fatal(err)
		}
		vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
	}
	return vm
}

func input(vm *v1alpha1.VirtualMachine) convert.Input {
	return convert.Input{
		VM:        vm,
		ClusterID: "cluster-a",
		Host: convert.HostDefaults{
			DomainType: "kvm", Arch: "x86_64", Machine: "q35", ConsoleLog: "/var/log/domus/web.log",
		},
	}
}

func TestDomainXML(t *testing.T) {
	tests := map[string]func(t *testing.T) convert.Input{
		"minimal": func(t *testing.T) convert.Input { return input(machine(t, "")) },
		"unset-leaves-it-empty": func(t *testing.T) convert.Input {
			in := input(machine(t, ""))
			in.Host = convert.HostDefaults{DomainType: "kvm"}
			return in
		},
		"hugepages": func(t *testing.T) convert.Input {
			vm := machine(t, `memoryBacking: {memoryNosharepages: true}`)
			vm.Status.Placement.Granted.Memory = 1024 * mib
			vm.Status.Placement.Granted.PageSize = v1alpha1.PageSize2Mi
			return input(vm)
		},
		"growth": func(t *testing.T) convert.Input {
			vm := machine(t, "")
			vm.Status.Placement.Granted.MaxCPU, vm.Status.Placement.Granted.MaxMemory = 6, 2048*mib
			in := input(vm)
			// vCPUs that are plugged in later are to come up where they belong.
			in.SharedCPUs = convert.SharedCPUs{Cells: map[int32]cpuset.CPUSet{0: cpuset.New(2, 3)}, Taken: true}
			return in
		},
		"gibibyte-pages-and-own-uuid": func(t *testing.T) convert.Input {
			vm := machine(t, "")
			vm.Spec.UUID = "6c61d5f2-6f3e-4d2b-9a55-0d1d1c6c9a01"
			vm.Status.Placement.Granted.Memory = 2048 * mib
			vm.Status.Placement.Granted.PageSize = v1alpha1.PageSize1Gi
			return input(vm)
		},
		"disk-interface-and-own-serial": func(t *testing.T) convert.Input {
			return input(machine(t, `
title: a web server
devices:
  disks:
  - device: disk
    driver: {name: qemu, type: qcow2}
    source: {volume: {pool: default, volume: demo.web}}
    target: {dev: vda, bus: virtio}
    serial: "000123"
  interfaces:
  - source: {network: {network: default}}
    model: {type: virtio}
  serials:
  - source: {pty: {}}
    target: {type: isa-serial, port: 0}
  - source: {pty: {}}
    target: {port: 1}
  channels:
  - source: {unix: {}}
    target: {virtIO: {name: org.qemu.guest_agent.0}}
`))
		},
		"the-user-said-it-all": func(t *testing.T) convert.Input {
			in := input(machine(t, `
type: qemu
os: {type: {type: hvm, arch: aarch64}, firmware: efi}
features: {gic: {version: "3"}}
clock: {offset: localtime}
onPoweroff: preserve
onReboot: destroy
onCrash: restart
devices:
  emulator: /opt/qemu
  serials: [{source: {pty: {}}, log: {file: /srv/own.log}}]
`))
			in.Host.Emulator = "/usr/bin/qemu-system-x86_64"
			return in
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			domain, err := convert.Domain(test(t))
			if err != nil {
				t.Fatal(err)
			}
			got, err := convert.Marshal(domain)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".xml"), got+"\n")
		})
	}
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
		t.Errorf("%s (write it anew with -update): %s", file, diff)
	}
}

func TestMemoryIsRoundedUpToKiB(t *testing.T) {
	for bytes, want := range map[int64]uint{1: 1, 1024: 1, 1025: 2, 64 << 40: 64 << 30, 1<<30 + 1: 1<<20 + 1} {
		vm := machine(t, "")
		vm.Status.Placement.Granted.Memory = bytes
		domain, err := convert.Domain(input(vm))
		if err != nil {
			t.Fatal(err)
		}
		wantMemory := &libvirtxml.DomainMemory{Value: want, Unit: "KiB"}
		if diff := cmp.Diff(wantMemory, domain.Memory); diff != "" {
			t.Errorf("%d bytes: %s", bytes, diff)
		}
		if domain.CurrentMemory.Value != want {
			t.Errorf("%d bytes: currentMemory %d, want %d", bytes, domain.CurrentMemory.Value, want)
		}
	}
}

func TestConsoleLogGoesToTheFirstSerialConsole(t *testing.T) {
	log := &libvirtxml.DomainChardevLog{File: "/var/log/domus/web.log", Append: "on"}
	pty := &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
	tests := map[string]struct {
		devices  string
		serials  []libvirtxml.DomainSerial
		consoles []libvirtxml.DomainConsole
	}{
		"no console: a serial port is made": {
			serials: []libvirtxml.DomainSerial{{Source: pty, Log: log}},
		},
		"a serial port of no type is a terminal": {
			devices: `serials: [{}]`,
			serials: []libvirtxml.DomainSerial{{Log: log}},
		},
		"a serial port elsewhere stays": {
			devices: `serials: [{source: {"null": true}}]`,
			serials: []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{Null: &libvirtxml.DomainChardevSourceNull{}}}},
		},
		"a serial console alone": {
			devices:  `consoles: [{source: {pty: {}}, target: {type: serial}}]`,
			consoles: []libvirtxml.DomainConsole{{Source: pty, Target: &libvirtxml.DomainConsoleTarget{Type: "serial"}, Log: log}},
		},
		"a virtio console stays": {
			devices:  `consoles: [{source: {pty: {}}, target: {type: virtio}}]`,
			consoles: []libvirtxml.DomainConsole{{Source: pty, Target: &libvirtxml.DomainConsoleTarget{Type: "virtio"}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			domain, err := convert.Domain(input(machine(t, "devices: {channels: [], "+test.devices+"}")))
			if err != nil {
				t.Fatal(err)
			}
			want := &libvirtxml.DomainDeviceList{Serials: test.serials, Consoles: test.consoles, Channels: []libvirtxml.DomainChannel{}}
			domain.Devices.Controllers = nil // root ports, which are another test's
			if diff := cmp.Diff(want, domain.Devices); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAVMWithoutPlacementIsNoDomainYet(t *testing.T) {
	vm := machine(t, "")
	vm.Status.Placement = nil
	if _, err := convert.Domain(input(vm)); !errors.Is(err, convert.ErrNotPlaced) {
		t.Errorf("got %v, want ErrNotPlaced", err)
	}
}

func TestWhatNoHostCanRunIsInvalid(t *testing.T) {
	tests := map[string]struct {
		domain  string
		granted v1alpha1.GrantedResources
		want    string
	}{
		"a domain that cannot be read": {
			domain:  `devices: {disks: {}}`,
			granted: v1alpha1.GrantedResources{CPU: 1, Memory: mib},
			want:    "spec.domain.devices.disks: Invalid value: must be a list",
		},
		"a grant of nothing": {
			want: "[status.placement.granted.cpu: Invalid value: 0: must be at least 1, status.placement.granted.memory: Invalid value: 0",
		},
		"half a page": {
			granted: v1alpha1.GrantedResources{CPU: 1, Memory: 3 * mib, PageSize: v1alpha1.PageSize2Mi},
			want:    "status.placement.granted.memory: Invalid value: 3145728: must be whole pages of 2Mi",
		},
		"an unknown page size": {
			granted: v1alpha1.GrantedResources{CPU: 1, Memory: mib, PageSize: "4Ki"},
			want:    `status.placement.granted.pageSize: Unsupported value: "4Ki"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			vm := machine(t, test.domain)
			vm.Status.Placement.Granted = test.granted
			_, err := convert.Domain(input(vm))
			var invalid *convert.InvalidError
			if !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestTheObjectIsNotChanged(t *testing.T) {
	vm := machine(t, `devices: {serials: [{source: {pty: {}}}]}`)
	before := vm.DeepCopy()
	if _, err := convert.Domain(input(vm)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, vm); diff != "" {
		t.Error(diff)
	}
}
