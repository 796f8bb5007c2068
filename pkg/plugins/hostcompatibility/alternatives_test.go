package hostcompatibility

import (
	"fmt"
	"slices"
	"testing"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestAlternatives(t *testing.T) {
	amd, intel, many := full, full, full
	amd.CPUModels, amd.SecureBoot = []string{"EPYC", "EPYC-Milan", "qemu64"}, false
	intel.CPUModels, intel.Firmware, intel.SecureBoot = []string{"Haswell-noTSX", "qemu64"}, []string{"bios"}, false
	many.Machines = nil
	for i := range 8 {
		many.Machines = append(many.Machines, fmt.Sprintf("pc-i440fx-7.%d", i), fmt.Sprintf("pc-q35-7.%d", i))
	}
	slices.Sort(many.Machines)
	described := []*v1alpha1.Hypervisor{
		hypervisor("amd", amd), with(hypervisor("intel", intel), "gpu-a", "nic", "gpu-a"), hypervisor("many", many), hypervisor("arm", arm),
	}
	for name, test := range map[string]struct {
		domain  string
		devices []string
		hosts   []string
		want    string
	}{
		"a host has it":                               {`cpu: {model: {value: EPYC}}`, nil, []string{"intel", "amd"}, ""},
		"no host that it may use has it":              {`cpu: {model: {value: Foo}}`, nil, []string{"intel", "amd"}, "no host that it may use has CPU model Foo; there are: qemu64, Haswell-noTSX, EPYC-Milan, EPYC"},
		"those spelt alike come first":                {`cpu: {model: {value: epyc-rome}}`, nil, []string{"intel", "amd"}, "no host that it may use has CPU model epyc-rome; there are: EPYC-Milan, EPYC, qemu64, Haswell-noTSX"},
		"of many the nearest versions":                {`os: {type: {machine: pc-q35-9.2}}`, nil, []string{"many"}, "no host that it may use has machine type pc-q35-9.2; there are: pc-q35-7.7, pc-q35-7.6, pc-q35-7.5, pc-q35-7.4, pc-q35-7.3, pc-q35-7.2, pc-q35-7.1, pc-q35-7.0, pc-i440fx-7.7, pc-i440fx-7.6 and 6 more"},
		"a CPU feature":                               {`cpu: {mode: host-model, features: [{name: avx512f}]}`, nil, []string{"amd"}, "no host that it may use has CPU feature avx512f; there are: avx2, aes, vmx"},
		"firmware":                                    {`os: {firmware: efi}`, nil, []string{"intel"}, "no host that it may use has efi firmware; there are: bios"},
		"Secure Boot":                                 {`os: {firmware: efi, loader: {secure: "yes"}}`, nil, []string{"amd"}, "no host that it may use has firmware with Secure Boot"},
		"a device":                                    {``, []string{"gpu"}, []string{"amd", "intel"}, "no host that it may use offers device gpu; there are: gpu-a, nic"},
		"a device where there are none":               {``, []string{"gpu"}, []string{"amd"}, "no host that it may use offers device gpu; there are none"},
		"a kind of guest":                             {`type: qemu`, nil, []string{"amd", "many"}, "no host that it may use runs qemu guests; there are: kvm for x86_64"},
		"a kind of guest and its CPU model":           {`{os: {type: {arch: riscv64}}, cpu: {model: {value: Foo}}}`, nil, []string{"amd", "arm"}, "no host that it may use runs guests for riscv64; there are: qemu for aarch64, kvm for x86_64"},
		"only its kind counts":                        {`{type: kvm, cpu: {model: {value: Foo}}}`, nil, []string{"arm", "intel"}, "no host that it may use has CPU model Foo; there are: qemu64, Haswell-noTSX"},
		"two things that no host that it may use has": {`cpu: {model: {value: Foo}}`, []string{"fpga"}, []string{"intel"}, "no host that it may use has CPU model Foo; there are: qemu64, Haswell-noTSX. no host that it may use offers device fpga; there are: nic, gpu-a"},
		"two things on different hosts":               {`cpu: {model: {value: EPYC}}`, []string{"nic"}, []string{"intel", "amd"}, "no host that it may use has all of these at once: CPU model EPYC, device nic"},
		"a VM that any host can run":                  {``, nil, []string{"intel"}, ""},
		"no host is described yet":                    {`cpu: {model: {value: Foo}}`, nil, []string{"gone"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, pod := newPlugin(t, true, described...), projected(t, test.domain, test.devices...)
			var nodes []fwk.NodeInfo
			for _, host := range test.hosts {
				nodes = append(nodes, node(host))
			}
			for range 2 {
				if got := Alternatives(p.fleet, pod, nodes); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				// The words do not change with the order of the hosts.
				slices.Reverse(nodes)
			}
		})
	}
}
