package policy_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/policy"
)

func machine(t *testing.T, domain string) *v1alpha1.VirtualMachine {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "vm"}}
	if domain != "" {
		raw, err := yaml.YAMLToJSON([]byte(domain))
		if err != nil {
			t.Fatal(err)
		}
		vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
	}
	return vm
}

// compare expects one error for each of want, in order, that begins with it.
func compare(t *testing.T, vm *v1alpha1.VirtualMachine, level v1alpha1.PolicyLevel, want ...string) {
	t.Helper()
	errs := policy.CheckVirtualMachine(vm, level)
	for i := range max(len(errs), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("%s: unexpected error %s", level, errs[i])
		case i >= len(errs):
			t.Errorf("%s: missing error %s", level, want[i])
		case !strings.HasPrefix(errs[i].Error(), want[i]):
			t.Errorf("%s: error %d is\n  %s\nwant\n  %s", level, i, errs[i], want[i])
		}
	}
}

func TestRestrictedAllowsWhatStaysInTheGuest(t *testing.T) {
	for name, domain := range allowed {
		t.Run(name, func(t *testing.T) {
			vm := machine(t, domain)
			compare(t, vm, v1alpha1.PolicyRestricted)
			compare(t, vm, v1alpha1.PolicyPrivileged)
		})
	}
}

func TestRestrictedRefusesWhatReachesTheHost(t *testing.T) {
	for name, test := range refused {
		t.Run(name, func(t *testing.T) {
			vm := machine(t, test.domain)
			compare(t, vm, v1alpha1.PolicyRestricted, test.want...)
			compare(t, vm, "a-misspelt-level", test.want...)
			compare(t, vm, v1alpha1.PolicyPrivileged)
		})
	}
}

func TestWhatTypedFieldsOwnIsRefusedAtEveryLevel(t *testing.T) {
	for name, test := range owned {
		t.Run(name, func(t *testing.T) {
			vm := machine(t, test.domain)
			compare(t, vm, v1alpha1.PolicyRestricted, test.want...)
			compare(t, vm, v1alpha1.PolicyPrivileged, test.want...)
		})
	}
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	const otherwise = "label the namespace domus.dev/policy-level=privileged to allow host access, or remove it"
	for domain, want := range map[string]string{
		`devices: {hostdevs: [{subsysPCI: {}}]}`:                                                          "spec.domain.devices.hostdevs[0]: Forbidden: not allowed at policy level restricted: ask for a device that hosts offer in spec.resources.devices, " + otherwise,
		`devices: {disks: [{device: disk, driver: {name: qemu, type: raw}, source: {file: {file: /a}}}]}`: "spec.domain.devices.disks[0].source.file: Forbidden: not allowed at policy level restricted: name a volume of a pool in source.volume, " + otherwise,
		`devices: {interfaces: [{source: {bridge: {bridge: br0}}}]}`:                                      "spec.domain.devices.interfaces[0].source.bridge: Forbidden: not allowed at policy level restricted: name a libvirt network in source.network, " + otherwise,
		`devices: {graphics: [{vnc: {port: 5900}}]}`:                                                      "spec.domain.devices.graphics[0].vnc.port: Invalid value: 5900: must be -1, which lets libvirt choose, at policy level restricted: change it, " + otherwise,
	} {
		errs := policy.CheckVirtualMachine(machine(t, domain), v1alpha1.PolicyRestricted)
		if len(errs) != 1 || errs[0].Error() != want {
			t.Errorf("got %v, want %s", errs, want)
			continue
		}
		if got, want := policy.WithoutRemedy(errs[0]).Error(), strings.SplitAfter(want, "level restricted")[0]; got != want {
			t.Errorf("without its remedy: %s, want %s", got, want)
		}
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	vm := machine(t, "devices: {hostdevs: ["+strings.Repeat("{},", 10000)+"{}]}")
	if errs := policy.CheckVirtualMachine(vm, v1alpha1.PolicyRestricted); len(errs) != 50 {
		t.Errorf("got %d errors, want 50", len(errs))
	}
}

func TestMemoryBeyondTheBalloonIsForThePrivileged(t *testing.T) {
	upTo := func(most string) *v1alpha1.VirtualMachine {
		vm := machine(t, "type: kvm")
		vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Gi"), MaxCPU: 64, MaxMemory: ptr.To(resource.MustParse(most))}
		return vm
	}
	compare(t, upTo("1024Mi"), v1alpha1.PolicyRestricted)
	compare(t, upTo("2Gi"), v1alpha1.PolicyPrivileged)
	compare(t, upTo("2Gi"), v1alpha1.PolicyRestricted,
		`spec.resources.maxMemory: Invalid value: "2Gi": must be no more than memory (1Gi), since a guest may ignore its balloon, at policy level restricted: raise memory or lower maxMemory; a namespace labelled domus.dev/policy-level=privileged is not held to this, and its users are root on the hosts`)
	less := upTo("2Gi")
	less.Spec.Resources.Overhead = ptr.To(resource.MustParse("66Mi"))
	less.Spec.Resources.MaxMemory = ptr.To(resource.MustParse("1Gi"))
	// 64 vCPUs may come, 4 MiB each.
	compare(t, less, v1alpha1.PolicyRestricted, `spec.resources.overhead: Invalid value: "66Mi": must be at least 317Mi`)
}

func TestAnOverheadIsAtLeastWhatIsComputed(t *testing.T) {
	withOverhead := func(amount, domain string) *v1alpha1.VirtualMachine {
		vm := machine(t, domain)
		vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Gi")}
		vm.Spec.Resources.Overhead = ptr.To(resource.MustParse(amount))
		return vm
	}
	least := capacity.ComputedOverhead(&withOverhead("0", "type: kvm").Spec)
	graphics := `{type: kvm, devices: {graphics: [{vnc: {}}]}}`
	for name, test := range map[string]struct {
		vm   *v1alpha1.VirtualMachine
		want []string
	}{
		"more":      {withOverhead("1Gi", "type: kvm"), nil},
		"just that": {withOverhead(strconv.FormatInt(least, 10), "type: kvm"), nil},
		"less":      {withOverhead(strconv.FormatInt(least-1, 10), "type: kvm"), []string{"spec.resources.overhead: Invalid value: "}},
		"none": {withOverhead("0", "type: kvm"), []string{
			`spec.resources.overhead: Invalid value: "0": must be at least 65Mi, which QEMU is reckoned to need for this VM, at policy level restricted: raise it, or leave it out to have it computed; a namespace labelled domus.dev/policy-level=privileged is not held to this, and its users are root on the hosts`,
		}},
		"enough for a VM of fewer devices": {withOverhead("100Mi", graphics), []string{`spec.resources.overhead: Invalid value: "100Mi": must be at least 113Mi`}},
		"beside what is wrong with the domain": {withOverhead("1Mi", `{type: kvm, devices: {shmems: [{name: x}]}}`), []string{
			"spec.domain.devices.shmems[0]: Forbidden", "spec.resources.overhead: Invalid value",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, test.vm, v1alpha1.PolicyRestricted, test.want...)
			compare(t, test.vm, v1alpha1.PolicyPrivileged)
		})
	}
}

func TestTheExampleOfThePageIsAllowed(t *testing.T) {
	page, err := os.ReadFile("../../docs/domain-yaml.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	var vm v1alpha1.VirtualMachine
	if err := yaml.UnmarshalStrict([]byte(example), &vm); err != nil {
		t.Fatal(err)
	}
	compare(t, &vm, v1alpha1.PolicyRestricted)
}

func FuzzCheckVirtualMachine(f *testing.F) {
	for _, domain := range allowed {
		f.Add(domain)
	}
	for _, test := range refused {
		f.Add(test.domain)
	}
	f.Fuzz(func(t *testing.T, domain string) {
		raw, err := yaml.YAMLToJSON([]byte(domain))
		if err != nil {
			return
		}
		vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "demo"}}
		vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
		restricted := policy.CheckVirtualMachine(vm, v1alpha1.PolicyRestricted)
		privileged := policy.CheckVirtualMachine(vm, v1alpha1.PolicyPrivileged)
		if len(restricted) == 0 && len(privileged) > 0 {
			t.Errorf("allowed when restricted, refused when privileged: %v", privileged)
		}
	})
}
