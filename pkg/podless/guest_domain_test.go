package podless

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/tree"
)

func TestGuestSurvivesTheDomain(t *testing.T) {
	for name, test := range map[string]struct {
		domain string
		want   Guest
	}{
		"a domain that asks for nothing of a host": {`{devices: {}, cpu: {topology: {sockets: 1, cores: 2, threads: 1}}}`, Guest{}},
		"kind and architecture":                    {`{type: kvm, os: {type: {arch: x86_64}}}`, Guest{Type: "kvm", Arch: "x86_64"}},
		"a machine type":                           {`os: {type: {machine: pc-q35-9.2}}`, Guest{Machine: "pc-q35-9.2"}},

		"a CPU model":                       {`cpu: {mode: custom, model: {value: EPYC}}`, Guest{CPUModel: "EPYC"}},
		"a CPU model without a mode":        {`cpu: {model: {value: EPYC}}`, Guest{CPUModel: "EPYC"}},
		"a CPU model or a better one":       {`cpu: {match: minimum, model: {value: EPYC}}`, Guest{CPUModel: "EPYC"}},
		"the host's own CPU":                {`cpu: {mode: host-passthrough, check: partial}`, Guest{}},
		"the host's CPU model":              {`cpu: {mode: host-model, model: {fallback: forbid}}`, Guest{}},
		"a CPU model that nobody checks":    {`cpu: {check: none, model: {value: EPYC}, features: [{name: aes, policy: require}]}`, Guest{}},
		"a CPU model without a feature":     {`cpu: {model: {value: Haswell}, features: [{name: hle, policy: disable}]}`, Guest{}},
		"a CPU model, a feature if it can":  {`cpu: {model: {value: Haswell}, features: [{name: hle, policy: optional}]}`, Guest{}},
		"a CPU model where no feature is":   {`cpu: {model: {value: Haswell}, features: [{name: hle, policy: forbid}]}`, Guest{}},
		"required CPU features, as one set": {`cpu: {mode: host-model, features: [{name: vmx}, {name: aes, policy: require}, {name: vmx, policy: require}]}`, Guest{CPUFeatures: "aes,vmx"}},
		"a model with a required feature":   {`cpu: {model: {value: EPYC}, features: [{name: aes, policy: require}]}`, Guest{CPUModel: "EPYC", CPUFeatures: "aes"}},
		"a feature that is only claimed":    {`cpu: {model: {value: EPYC}, features: [{name: aes, policy: force}]}`, Guest{CPUModel: "EPYC"}},

		"firmware":                            {`os: {firmware: efi}`, Guest{Firmware: "efi"}},
		"a secure loader":                     {`os: {firmware: efi, loader: {secure: "yes"}}`, Guest{Firmware: "efi", SecureBoot: true}},
		"a loader that need not be secure":    {`os: {firmware: efi, loader: {secure: "no"}}`, Guest{Firmware: "efi"}},
		"Secure Boot as a firmware feature":   {`os: {firmware: efi, firmwareInfo: {features: [{enabled: "yes", name: secure-boot}]}}`, Guest{Firmware: "efi", SecureBoot: true}},
		"no Secure Boot":                      {`os: {firmware: efi, firmwareInfo: {features: [{enabled: "no", name: secure-boot}, {enabled: "yes", name: enrolled-keys}]}}`, Guest{Firmware: "efi"}},
		"firmware that is chosen by the user": {`os: {firmware: efi, loader: {path: /usr/share/OVMF/OVMF_CODE.fd, secure: "yes"}}`, Guest{}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(test.domain))
			if err != nil {
				t.Fatal(err)
			}
			// A key that is misspelt here could not be in a VM.
			if _, errs := tree.Decode[libvirtxml.Domain](raw, field.NewPath("domain")); len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			vm := vm(func(vm *v1alpha1.VirtualMachine) { vm.Spec.Domain = &runtime.RawExtension{Raw: raw} })
			Trim(vm)
			if diff := cmp.Diff(test.want, GuestOf(Project(vm, defaultPriority).Annotations).Kind()); diff != "" {
				t.Errorf("guest (-want +got):\n%s", diff)
			}
		})
	}
}
