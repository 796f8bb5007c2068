package capacity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/tree"
)

const mib = int64(1) << 20

// specOf is of a VM with that spec.domain, written in YAML.
func specOf(t *testing.T, domain string) *v1alpha1.VirtualMachineSpec {
	t.Helper()
	spec := &v1alpha1.VirtualMachineSpec{Resources: v1alpha1.VirtualMachineResources{CPU: 2, Memory: resource.MustParse("4Gi")}}
	if domain != "" {
		raw, err := yaml.YAMLToJSON([]byte(domain))
		if err != nil {
			t.Fatal(err)
		}
		spec.Domain = &runtime.RawExtension{Raw: raw}
	}
	return spec
}

func TestDevicesOf(t *testing.T) {
	for name, test := range map[string]struct {
		domain string
		want   Devices
	}{
		"no domain: it may be emulated": {"", Devices{TranslationCache: 32 * mib}},
		"KVM translates nothing":        {`type: kvm`, Devices{}},
		"a cache of one's own":          {`{type: qemu, features: {tcg: {tbCache: {size: 1, unit: GiB}}}}`, Devices{TranslationCache: 1024 * mib}},
		"a cache in KiB":                {`features: {tcg: {tbCache: {size: 65536}}}`, Devices{TranslationCache: 64 * mib}},
		"a qcow2 image's tables are kept, a raw one has none": {
			`{type: kvm, devices: {disks: [{driver: {type: qcow2}}, {driver: {type: raw}}, {device: cdrom}]}}`,
			Devices{Disks: 3, DiskTables: 32 * mib},
		},
		"a cache of tables that is limited": {
			`{type: kvm, devices: {disks: [{driver: {type: qcow2, metadataCache: {maxSize: {value: 2, unit: MiB}}}}]}}`,
			Devices{Disks: 1, DiskTables: 2 * mib},
		},
		"interfaces, IO threads and EFI": {
			`{type: kvm, ioThreads: 3, os: {firmware: efi}, devices: {interfaces: [{source: {user: {}}}, {source: {network: {network: default}}}]}}`,
			Devices{Interfaces: 2, IOThreads: 3, EFI: true},
		},
		"graphics bring a screen along": {
			`{type: kvm, devices: {graphics: [{vnc: {}}]}}`,
			Devices{Graphics: 1, VideoMemory: 16 * mib},
		},
		"no screen at all": {
			`{type: kvm, devices: {graphics: [{vnc: {}}], videos: [{model: {type: none}}]}}`,
			Devices{Graphics: 1},
		},
		"screens of their default sizes": {
			`{type: kvm, devices: {videos: [{model: {type: vga}}, {model: {type: qxl}}, {model: {type: virtio, heads: 2}}]}}`,
			Devices{VideoMemory: (16 + 128 + 64) * mib},
		},
		"screens of one's own sizes": {
			`{type: kvm, devices: {videos: [{model: {type: vga, vRam: 65536}}, {model: {type: qxl, ram: 1024, vRam: 2048, vRam64: 4096}}]}}`,
			Devices{VideoMemory: (64 + 1 + 4) * mib},
		},
		"what reads guest memory by itself": {
			`
type: kvm
devices:
  hostdevs: [{subsysPCI: {}}, {subsysMDev: {model: vfio-pci}}, {subsysUSB: {}}]
  interfaces: [{source: {hostdev: {pci: {}}}}, {source: {vdpa: {device: /dev/vhost-vdpa-0}}}]
  disks: [{source: {nvme: {pci: {}}}}, {source: {vHostVDPA: {dev: /dev/vhost-vdpa-1}}}]
`,
			Devices{Disks: 2, Interfaces: 2, HostDevices: 6, Others: 1},
		},
		"processes beside QEMU, and shared memory": {
			`
type: kvm
devices:
  tpms: [{backend: {emulator: {version: "2.0"}}}, {backend: {passthrough: {}}}]
  filesystems: [{source: {mount: {dir: /srv}}}]
  shmems: [{name: a, size: {value: 4, unit: M}}]
`,
			Devices{TPMs: 1, Filesystems: 1, SharedMemory: 4 * mib},
		},
		"all others count alike": {
			`
type: kvm
devices:
  controllers: [{type: usb}, {type: scsi}]
  serials: [{source: {pty: {}}}]
  parallels: [{source: {pty: {}}}]
  consoles: [{source: {pty: {}}}]
  channels: [{source: {spiceVMC: true}}]
  inputs: [{type: tablet}]
  sounds: [{model: ich9}]
  rngs: [{model: virtio}]
  watchdogs: [{model: itco}]
  redirDevs: [{bus: usb}]
  smartcards: [{host: true}]
  crypto: [{model: virtio}]
`,
			Devices{Others: 13},
		},
		"what is absurd is bounded": {
			`{type: kvm, ioThreads: 4294967295, devices: {videos: [{model: {type: vga, vRam: 1099511627776}}], shmems: [{name: a, size: {value: 9, unit: EiB}}]}}`,
			Devices{IOThreads: 1 << 20, VideoMemory: 1 << 40, SharedMemory: 1 << 40},
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, test.domain)
			if diff := cmp.Diff(test.want, DevicesOf(spec)); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
			// The names are libvirt's own, or a host would refuse the domain.
			if spec.Domain != nil {
				if _, errs := tree.Decode[libvirtxml.Domain](spec.Domain.Raw, nil); len(errs) > 0 {
					t.Error(errs.ToAggregate())
				}
			}
		})
	}
}

func TestADomainThatCannotBeReadCountsAsEmpty(t *testing.T) {
	empty := DevicesOf(specOf(t, ""))
	for name, domain := range map[string]string{
		"no object": `[]`, "a list that is none": `devices: {disks: {}}`, "a number that is none": `{type: kvm, ioThreads: "4"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(empty, DevicesOf(specOf(t, domain))); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHostDevicesAskedForAreDevices(t *testing.T) {
	spec := specOf(t, `type: kvm`)
	spec.Resources.Devices = []v1alpha1.DeviceRequest{{Name: "gpu", Count: 2}, {Name: "nic"}}
	if diff := cmp.Diff(Devices{HostDevices: 3}, DevicesOf(spec)); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

func TestOverhead(t *testing.T) {
	for name, test := range map[string]struct {
		cpu     int32
		memory  int64
		pages   v1alpha1.PageSize
		devices Devices
		want    int64
	}{
		"vCPUs": {4, 0, "", Devices{}, (56 + 4*4) * mib},
		// Two maps of 8 bytes for each page of 4 KiB, and bits.
		"ordinary memory": {1, 16 * gib, "", Devices{}, (56 + 4 + 2*32 + 2) * mib},
		"2Mi pages":       {1, 16 * gib, v1alpha1.PageSize2Mi, Devices{}, (56+4+2)*mib + 2*8*8192},
		"1Gi pages":       {1, 16 * gib, v1alpha1.PageSize1Gi, Devices{}, (56+4+2)*mib + 2*8*16},
		"each device": {1, 0, "", Devices{
			Disks: 1, DiskTables: 3, Interfaces: 1, IOThreads: 1, Graphics: 1, VideoMemory: 5, SharedMemory: 7,
			Filesystems: 1, TPMs: 1, Others: 1, EFI: true, TranslationCache: 11,
		}, (56+4+2+4+1+32+64+12+2+8)*mib + 3 + 5 + 7 + 11},
		"host devices share one map more": {1, 16 * gib, "", Devices{HostDevices: 2}, (56 + 4 + 3*32 + 2 + 2*16) * mib},
		"that map has large pages too":    {1, 16 * gib, v1alpha1.PageSize1Gi, Devices{HostDevices: 1}, (56+4+2+16)*mib + 3*8*16},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Overhead(test.cpu, test.memory, test.pages, test.devices); got != test.want {
				t.Errorf("got %s (%d), want %s (%d)", Bytes(got), got, Bytes(test.want), test.want)
			}
		})
	}
}

func TestDesired(t *testing.T) {
	spec := specOf(t, `{type: kvm, devices: {disks: [{driver: {type: raw}}]}}`)
	computed := (56+2*4+2)*mib + 4*gib/256 + 4*gib/8192
	want := v1alpha1.GrantedResources{CPU: 2, Memory: 4 * gib, Overhead: computed}
	if diff := cmp.Diff(want, Desired(spec)); diff != "" {
		t.Errorf("desired (-want +got):\n%s", diff)
	}

	own := resource.MustParse("300M")
	spec.Resources.Overhead = &own
	spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi}
	want = v1alpha1.GrantedResources{CPU: 2, Memory: 4 * gib, Overhead: 300_000_000, PageSize: v1alpha1.PageSize1Gi}
	if diff := cmp.Diff(want, Desired(spec)); diff != "" {
		t.Errorf("desired with an overhead of one's own (-want +got):\n%s", diff)
	}
}

func TestUnits(t *testing.T) {
	for unit, want := range map[string]int64{
		"": 3, "b": 3, "bytes": 3, "K": 3 << 10, "KiB": 3 << 10, "kb": 3000, "MB": 3_000_000, "MiB": 3 << 20, "g": 3 << 30, "P": 1 << 40,
	} {
		if got := bytes(3, unit, 0); got != want {
			t.Errorf("3 %s are %d bytes, want %d", unit, got, want)
		}
	}
}

func BenchmarkDevicesOf(b *testing.B) {
	spec := &v1alpha1.VirtualMachineSpec{Domain: &runtime.RawExtension{Raw: []byte(
		`{"type":"kvm","os":{"type":{"type":"hvm","arch":"x86_64"},"firmware":"efi"},"devices":{"disks":[{"device":"disk",` +
			`"driver":{"name":"qemu","type":"qcow2"},"source":{"volume":{"pool":"default","volume":"demo.web"}},` +
			`"target":{"dev":"vda","bus":"virtio"}}],"interfaces":[{"source":{"network":{"network":"default"}},"model":{"type":"virtio"}}],` +
			`"channels":[{"source":{"unix":{}},"target":{"virtIO":{"name":"org.qemu.guest_agent.0"}}}]}}`)}}
	b.ReportAllocs()
	for b.Loop() {
		DevicesOf(spec)
	}
}
