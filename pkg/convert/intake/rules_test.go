package intake_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/intake"
	"domus.dev/domus/pkg/convert/objects"
)

// rules have a part of a domain of 4 vCPUs and 4 GiB, what becomes of it (in
// YAML, below spec), and the paths that are told beside spec.runPolicy.
var rules = map[string]struct {
	domain, want string
	told         []string
	opts         intake.Options
}{
	"each vCPU on a CPU of its own is dedicated": {
		domain: `<cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='3'/><vcpupin vcpu='2' cpuset='4'/><vcpupin vcpu='3' cpuset='5'/></cputune>`,
		want:   `resources: {cpuPolicy: dedicated}`, told: []string{"spec.domain.cpuTune.vcpuPin"},
	},
	"two vCPUs on one CPU are not": {
		domain: `<cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='2'/><vcpupin vcpu='2' cpuset='4'/><vcpupin vcpu='3' cpuset='5'/></cputune>`,
		told:   []string{"spec.domain.cpuTune.vcpuPin"},
	},
	"a vCPU that floats makes the others shared": {
		domain: `<cputune><vcpupin vcpu='0' cpuset='2'/><shares>512</shares><quota>50000</quota></cputune>`,
		told:   []string{"spec.domain.cpuTune.vcpuPin", "spec.domain.cpuTune.shares", "spec.domain.cpuTune.quota"},
	},
	"memory in one cell": {
		domain: `<numatune><memory mode='strict' nodeset='1'/></numatune>`,
		want:   `resources: {numa: single-cell}`, told: []string{"spec.domain.numaTune"},
	},
	"cells of the guest in two of the host": {
		domain: `<numatune><memnode cellid='0' mode='strict' nodeset='0'/><memnode cellid='1' mode='strict' nodeset='1'/></numatune>
<cpu><numa><cell id='0' cpus='0-1' memory='2097152'/><cell id='1' cpus='2-3' memory='2097152'/></numa></cpu>`,
		want: `resources: {numa: restricted}`, told: []string{"spec.domain.numaTune", "spec.domain.cpu.numa"},
	},
	"memory that only prefers a cell": {
		domain: `<numatune><memory mode='preferred' nodeset='0'/></numatune>`,
		told:   []string{"spec.domain.numaTune"},
	},
	"placement by numad": {
		domain: `<numatune><memory placement='auto'/></numatune>`,
		want:   `resources: {numa: restricted}`, told: []string{"spec.domain.numaTune"},
	},
	"hugepages of no size": {
		domain: `<memoryBacking><hugepages/></memoryBacking>`,
		want:   `resources: {hugepages: {pageSize: 2Mi}}`, told: []string{"spec.domain.memoryBacking.memoryHugePages"},
	},
	"hugepages of one size on each cell": {
		domain: `<memoryBacking><hugepages><page size='1' unit='GiB' nodeset='0'/><page size='1048576' nodeset='1'/></hugepages></memoryBacking>`,
		want:   `resources: {hugepages: {pageSize: 1Gi}}`, told: []string{"spec.domain.memoryBacking.memoryHugePages"},
	},
	"vCPUs that are not plugged in": {
		domain: `<vcpu current='2'>4</vcpu><cpu><topology sockets='4' cores='1' threads='1'/></cpu>`,
		want:   `{resources: {cpu: 2, maxCPU: 4}, domain: {cpu: {topology: {sockets: 4, cores: 1, threads: 1}}}}`,
	},
	"dedicated vCPUs do not grow, and the topology follows": {
		domain: `<vcpu current='2'>4</vcpu><cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='3'/></cputune><cpu><topology sockets='4' cores='1' threads='1'/></cpu>`,
		want:   `{resources: {cpu: 2, cpuPolicy: dedicated}, domain: {cpu: {topology: {sockets: 2, cores: 1, threads: 1}}}}`,
		told:   []string{"spec.domain.cpuTune.vcpuPin", "spec.resources.maxCPU", "spec.domain.cpu.topology.sockets"},
	},
	"a topology that does not come to so many": {
		domain: `<vcpu current='1'>4</vcpu><numatune><memory mode='strict' nodeset='0'/></numatune><cpu mode='host-model'><topology sockets='1' cores='4' threads='1'/></cpu>`,
		want:   `{resources: {cpu: 1, numa: single-cell}, domain: {cpu: {mode: host-model}}}`,
		told:   []string{"spec.domain.numaTune", "spec.resources.maxCPU", "spec.domain.cpu.topology"},
	},
	"a balloon that has taken half, restricted": {
		domain: `<currentMemory unit='GiB'>2</currentMemory>`,
		told:   []string{"spec.resources.maxMemory"},
	},
	"a balloon that has taken half, privileged": {
		domain: `<currentMemory unit='GiB'>2</currentMemory>`,
		want:   `resources: {memory: 2Gi, maxMemory: 4Gi}`,
		opts:   intake.Options{Level: v1alpha1.PolicyPrivileged},
	},
	"a guest without a balloon": {
		domain: `<currentMemory unit='GiB'>2</currentMemory><devices><memballoon model='none'/></devices>`,
		want:   `domain: {devices: {memBalloon: {model: none}}}`,
		told:   []string{"spec.resources.maxMemory"},
		opts:   intake.Options{Level: v1alpha1.PolicyPrivileged},
	},
	"a balloon of a guest in hugepages": {
		domain: `<currentMemory unit='GiB'>2</currentMemory><memoryBacking><hugepages><page size='2' unit='MiB'/></hugepages></memoryBacking>`,
		want:   `resources: {hugepages: {pageSize: 2Mi}}`,
		told:   []string{"spec.resources.maxMemory"},
		opts:   intake.Options{Level: v1alpha1.PolicyPrivileged},
	},
	"a guest that restarts when it crashes": {
		domain: `<on_crash>restart</on_crash>`,
		want:   `{runPolicy: OnFailure, domain: {onCrash: restart}}`,
	},
	"a name of the user's own for a device stays": {
		domain: `<devices><rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='ua-mine'/></rng><memballoon model='virtio'><alias name='balloon0'/></memballoon></devices>`,
		want:   `domain: {devices: {rngs: [{model: virtio, backend: {random: {device: /dev/urandom}}, alias: {name: ua-mine}}], memBalloon: {model: virtio}}}`,
		told:   []string{"spec.domain.devices.memBalloon.alias"},
	},
	"a disk in a folder of no pool stays a file, and is refused": {
		domain: `<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/home/me/a.img'/><target dev='vda'/></disk></devices>`,
		want:   `domain: {devices: {disks: [{device: disk, driver: {name: qemu, type: raw}, source: {file: {file: /home/me/a.img}}, target: {dev: vda}}]}}`,
		opts:   intake.Options{Pools: []intake.Pool{{Name: "default", Path: "/home"}}},
	},
	"a disk without a format is raw": {
		domain: `<devices><disk type='block' device='disk'><source dev='/dev/vg0/demo.a'/><target dev='vda'/></disk></devices>`,
		want:   `domain: {devices: {disks: [{device: disk, driver: {type: raw}, source: {volume: {pool: vg, volume: demo.a}}, target: {dev: vda}}]}}`,
		told:   []string{"spec.domain.devices.disks[0].source", "spec.domain.devices.disks[0].driver.type"},
		opts:   intake.Options{Pools: []intake.Pool{{Name: "vg", Path: "/dev/vg0"}}},
	},
	"macvtap becomes the network of its device": {
		domain: `<devices><interface type='direct'><mac address='52:54:00:00:00:01'/><source dev='eth1' mode='bridge'/><target dev='macvtap0'/></interface></devices>`,
		want:   `domain: {devices: {interfaces: [{mac: {address: "52:54:00:00:00:01"}, source: {network: {network: uplink}}}]}}`,
		told:   []string{"spec.domain.devices.interfaces[0].target", "spec.domain.devices.interfaces[0].source"},
		opts:   intake.Options{Networks: map[string]string{"eth1": "uplink"}},
	},
	"two devices of one name": {
		domain: `<devices><hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0x3b' slot='0' function='0'/></source></hostdev>
<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0x3b' slot='0' function='1'/></source></hostdev></devices>`,
		want: `resources: {devices: [{name: gpu, count: 2}]}`,
		told: []string{"spec.domain.devices.hostdevs[0]", "spec.domain.devices.hostdevs[1]"},
		opts: intake.Options{Devices: map[string]string{"0000:3b:00.0": "gpu", "0000:3b:00.1": "gpu"}},
	},
	"EFI of another distribution's path": {
		domain: `<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' secure='yes' type='pflash'>/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd</loader><nvram>/var/lib/libvirt/qemu/nvram/a.fd</nvram></os>`,
		want:   `domain: {os: {type: {arch: x86_64, machine: q35, type: hvm}, firmware: efi, loader: {secure: "yes"}}}`,
		told:   []string{"spec.domain.os.loader", "spec.domain.os.nvRam"},
	},
	"privileged keeps its firmware's path and its ports": {
		domain: `<os><type>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader></os><devices><graphics type='vnc' port='5901' listen='0.0.0.0'/></devices>`,
		want:   `domain: {os: {type: {type: hvm}, loader: {path: /usr/share/OVMF/OVMF_CODE.fd, readonly: "yes", type: pflash}}, devices: {graphics: [{vnc: {port: 5901, listen: 0.0.0.0}}]}}`,
		opts:   intake.Options{Level: v1alpha1.PolicyPrivileged},
	},
	"a fixed port on an address of the host": {
		domain: `<devices><graphics type='vnc' port='5901'><listen type='address' address='192.0.2.1'/></graphics></devices>`,
		want:   `domain: {devices: {graphics: [{vnc: {port: -1, autoPort: "yes"}}]}}`,
		told:   []string{"spec.domain.devices.graphics[0].vnc.listeners[0]", "spec.domain.devices.graphics[0].vnc.port"},
	},
	"memory that may be plugged in": {
		domain: `<maxMemory slots='2' unit='GiB'>8</maxMemory><currentMemory unit='GiB'>5</currentMemory><memtune><hard_limit unit='GiB'>5</hard_limit></memtune>`,
		told:   []string{"spec.domain.maximumMemory", "spec.domain.currentMemory", "spec.domain.memoryTune"},
	},
}

func TestWhatADomainMeantIsSaidAsDomusDoes(t *testing.T) {
	for name, test := range rules {
		t.Run(name, func(t *testing.T) {
			vcpu := `<vcpu>4</vcpu>`
			if strings.Contains(test.domain, "<vcpu ") {
				vcpu = ""
			}
			obj, err := objects.FromXML("a.xml", []byte(`<domain><name>a</name><memory unit='GiB'>4</memory>`+vcpu+test.domain+`</domain>`), objects.FromOptions{Namespace: "demo"})
			if err != nil {
				t.Fatal(err)
			}
			vm, changes, _ := intake.Machine(obj.(*v1alpha1.VirtualMachine), test.opts)
			want := v1alpha1.VirtualMachineSpec{RunPolicy: v1alpha1.RunManual, Resources: v1alpha1.VirtualMachineResources{CPU: 4, Memory: resource.MustParse("4Gi")}}
			if err := yaml.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if got, want := asYAML(t, vm.Spec), asYAML(t, want); got != want {
				t.Errorf("is\n%s\nwant\n%s", got, want)
			}
			var told []string
			for _, c := range changes {
				if c.Path != "spec.runPolicy" {
					told = append(told, c.Path)
				}
			}
			if strings.Join(told, " ") != strings.Join(test.told, " ") {
				t.Errorf("told\n%v\nwant\n%v", changes, test.told)
			}
		})
	}
}

func asYAML(t *testing.T, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestADomainOfDomusIsTheMachineItWasMadeFor(t *testing.T) {
	mark := convert.Ownership{ClusterID: "c", Owner: v1alpha1.Owner{Namespace: "demo", Name: "web.1", UID: "u", Epoch: 2}, Generation: 1,
		Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 1 << 30}}
	obj, err := objects.FromXML("a.xml", []byte(`<domain><name>demo:web.1</name><metadata><a:b xmlns:a='a'/>`+mark.XML()+`<c/></metadata><memory unit='GiB'>1</memory></domain>`), objects.FromOptions{})
	if err != nil {
		t.Fatal(err)
	}
	vm, changes, refusals := intake.Machine(obj.(*v1alpha1.VirtualMachine), intake.Options{})
	if len(refusals) > 0 {
		t.Error(refusals)
	}
	if vm.Name != "web.1" || vm.Namespace != "demo" {
		t.Errorf("%s/%s", vm.Namespace, vm.Name)
	}
	if got := vm.Annotations[v1alpha1.MetadataAnnotation]; got != "<a:b xmlns:a='a'/><c/>" {
		t.Errorf("%q", got)
	}
	if len(changes) != 3 {
		t.Error(changes)
	}
}

func TestTheNameThatIsAskedForIsTaken(t *testing.T) {
	given := read(t, "openstack")
	vm, _, _ := intake.Machine(given, intake.Options{Namespace: "demo", Name: "shop"})
	if vm.Name != "shop" || given.Name != "instance-0000002a" {
		t.Errorf("%s of %s", vm.Name, given.Name)
	}
	text, err := objects.ToXML(vm, objects.ToOptions{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "<name>instance-0000002a</name>") {
		t.Errorf("%s", text)
	}
}

func TestSizesThatNoGuestCanHaveAreRefused(t *testing.T) {
	for domain, want := range map[string]string{
		`<domain><name>a</name></domain>`: "spec.resources.memory: Invalid value: \"0\": must be at least 1Mi",
		`<domain><name>a</name><memory unit='MiB'>1025</memory><memoryBacking><hugepages/></memoryBacking></domain>`: "spec.resources.memory: Invalid value: \"1025Mi\": must be whole pages of 2Mi",
		`<domain><memory unit='GiB'>1</memory></domain>`:                                                             "metadata.name: Required value",
	} {
		obj, err := objects.FromXML("a.xml", []byte(domain), objects.FromOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, _, refusals := intake.Machine(obj.(*v1alpha1.VirtualMachine), intake.Options{Namespace: "demo"})
		if len(refusals) != 1 || !strings.HasPrefix(refusals[0].Error(), want) {
			t.Errorf("%s: %v\nwant %s", domain, refusals, want)
		}
	}
}

func TestANameThatIsNoneInKubernetesIsRefused(t *testing.T) {
	obj, err := objects.FromXML("a.xml", []byte(`<domain><name>a</name><memory unit='GiB'>1</memory></domain>`), objects.FromOptions{})
	if err != nil {
		t.Fatal(err)
	}
	obj.SetName("../a")
	_, _, refusals := intake.Machine(obj.(*v1alpha1.VirtualMachine), intake.Options{Namespace: "demo"})
	if len(refusals) != 1 || !strings.HasPrefix(refusals[0].Error(), `metadata.name: Invalid value: "../a": a lowercase RFC 1123 subdomain`) {
		t.Errorf("%v", refusals)
	}
}
