package hostcompatibility

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/podless"
)

// projected is a VM with this domain in YAML and these devices, as the scheduler
// sees it.
func projected(t testing.TB, domain string, devices ...string) *corev1.Pod {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vm", UID: "u", Annotations: map[string]string{"a": "b"}}}
	if domain != "" {
		raw, err := yaml.YAMLToJSON([]byte(domain))
		if err != nil {
			t.Fatal(err)
		}
		vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
	}
	for _, name := range devices {
		vm.Spec.Resources.Devices = append(vm.Spec.Resources.Devices, v1alpha1.DeviceRequest{Name: name, Count: 1})
	}
	podless.Trim(vm)
	return podless.Project(vm, podless.Priority{})
}

func hypervisor(name string, types ...v1alpha1.DomainType) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	hv.Status.DomainTypes = types
	return hv
}

// with adds devices of these names to what the host offers.
func with(hv *v1alpha1.Hypervisor, devices ...string) *v1alpha1.Hypervisor {
	for _, name := range devices {
		hv.Status.Devices = append(hv.Status.Devices, v1alpha1.HostDevice{Name: name})
	}
	return hv
}

func node(name string) fwk.NodeInfo {
	n := framework.NewNodeInfo()
	n.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return n
}

var (
	kvm  = v1alpha1.DomainType{Type: "kvm", Arch: "x86_64"}
	qemu = v1alpha1.DomainType{Type: "qemu", Arch: "x86_64"}
	arm  = v1alpha1.DomainType{Type: "qemu", Arch: "aarch64", Machines: []string{"virt-7.2"}}
	// full is a kind of which a host says all.
	full = v1alpha1.DomainType{
		Type: "kvm", Arch: "x86_64",
		Machines:  []string{"isapc", "pc-q35-7.1", "pc-q35-7.2"},
		CPUModels: []string{"EPYC", "Haswell-noTSX", "qemu64"}, CPUFeatures: []string{"aes", "avx2", "vmx"},
		Firmware: []string{"efi"}, SecureBoot: true,
	}
)

func newPlugin(t testing.TB, isSynced bool, hosts ...*v1alpha1.Hypervisor) *plugin {
	t.Helper()
	if !isSynced {
		return &plugin{fleet: fleettest.Unread(t)}
	}
	return &plugin{fleet: fleettest.New(t, hosts...)}
}

// filtered is what Filter says of a host.
func filtered(t testing.TB, p *plugin, pod *corev1.Pod, host string) *fwk.Status {
	t.Helper()
	cs := framework.NewCycleState()
	switch _, status := p.PreFilter(t.Context(), cs, pod, nil); {
	case status.IsSkip():
		return nil
	case !status.IsSuccess():
		t.Fatal(status)
	}
	return p.Filter(t.Context(), cs, pod, node(host))
}

func TestFilter(t *testing.T) {
	old, insecure, unsorted := full, full, full
	old.Machines, old.CPUModels, old.CPUFeatures, old.Firmware, old.SecureBoot = nil, nil, nil, nil, false
	insecure.SecureBoot = false
	unsorted.CPUModels = []string{"qemu64", "Haswell-noTSX", "EPYC"}
	emulated := qemu
	emulated.CPUModels = []string{"Nehalem"}
	p := newPlugin(t, true,
		hypervisor("fast", kvm, qemu), hypervisor("slow", qemu, arm), with(hypervisor("full", full, emulated), "gpu"),
		hypervisor("old", old), hypervisor("insecure", insecure), hypervisor("unsorted", unsorted))

	for name, test := range map[string]struct {
		domain, host, reason string
	}{
		"kvm where it works":       {`type: kvm`, "fast", ""},
		"kvm where it does not":    {`type: kvm`, "slow", "host(s) run no kvm guests"},
		"an architecture":          {`os: {type: {arch: aarch64}}`, "slow", ""},
		"another architecture":     {`os: {type: {arch: aarch64}}`, "fast", "host(s) run no guests for aarch64"},
		"both must be of one kind": {`{type: kvm, os: {type: {arch: aarch64}}}`, "slow", "host(s) run no kvm guests for aarch64"},

		"a host that is not described": {`type: kvm`, "gone", "host(s) have no Hypervisor"},

		"a machine type":                         {`os: {type: {machine: pc-q35-7.2}}`, "full", ""},
		"a machine type of another version":      {`os: {type: {machine: pc-q35-9.2}}`, "full", "host(s) have no machine type pc-q35-9.2"},
		"the alias of the newest q35":            {`os: {type: {machine: q35}}`, "full", ""},
		"the alias of the newest i440fx":         {`os: {type: {machine: pc}}`, "full", "host(s) have no machine type pc"},
		"an alias for another architecture":      {`os: {type: {machine: virt}}`, "full", "host(s) have no machine type virt"},
		"an alias where it is":                   {`os: {type: {arch: aarch64, machine: virt}}`, "slow", ""},
		"a machine type without versions":        {`os: {type: {machine: isapc}}`, "full", ""},
		"a distribution's alias that none lists": {`os: {type: {machine: ubuntu}}`, "full", ""},
		"a machine type, and none are listed":    {`os: {type: {machine: pc-q35-9.2}}`, "old", ""},

		"a CPU model":                          {`cpu: {mode: custom, model: {value: EPYC}}`, "full", ""},
		"a CPU model in a list without order":  {`cpu: {mode: custom, model: {value: EPYC}}`, "unsorted", ""},
		"a CPU model that the host has not":    {`cpu: {mode: custom, model: {value: Foo}}`, "full", "host(s) have no CPU model Foo"},
		"a CPU model, and none are listed":     {`cpu: {mode: custom, model: {value: Foo}}`, "old", ""},
		"a CPU model of the preferred kind":    {`cpu: {mode: custom, model: {value: Nehalem}}`, "full", "host(s) have no CPU model Nehalem"},
		"a CPU model of the kind asked for":    {`{type: qemu, cpu: {mode: custom, model: {value: Nehalem}}}`, "full", ""},
		"required CPU features":                {`cpu: {mode: host-model, features: [{name: aes, policy: require}, {name: vmx}]}`, "full", ""},
		"a CPU feature that the host has not":  {`cpu: {mode: host-model, features: [{name: avx512f, policy: require}, {name: aes}]}`, "full", "host(s) have no CPU feature avx512f"},
		"a CPU feature, and none are listed":   {`cpu: {mode: host-model, features: [{name: avx512f, policy: require}]}`, "old", ""},
		"the model is said before the feature": {`cpu: {model: {value: Foo}, features: [{name: avx512f}]}`, "full", "host(s) have no CPU model Foo"},

		"firmware":                               {`os: {firmware: efi}`, "full", ""},
		"firmware that the host has not":         {`os: {firmware: bios}`, "full", "host(s) have no bios firmware"},
		"firmware, and none is listed":           {`os: {firmware: bios}`, "old", ""},
		"Secure Boot":                            {`os: {firmware: efi, loader: {secure: "yes"}}`, "full", ""},
		"Secure Boot that the host has not":      {`os: {firmware: efi, loader: {secure: "yes"}}`, "insecure", "host(s) have no firmware with Secure Boot"},
		"Secure Boot, and no firmware is listed": {`os: {firmware: efi, loader: {secure: "yes"}}`, "old", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var want *fwk.Status
			if test.reason != "" {
				want = fwk.NewStatus(fwk.UnschedulableAndUnresolvable, test.reason)
			}
			if diff := cmp.Diff(want, filtered(t, p, projected(t, test.domain), test.host)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDevicesMustBeOfferedAtAll(t *testing.T) {
	p := newPlugin(t, true, with(hypervisor("two", kvm), "nic", "gpu"), with(hypervisor("one", kvm), "gpu"), hypervisor("none", kvm))
	pod := projected(t, "", "nic", "gpu")
	refused := func(reason string) *fwk.Status { return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason) }
	got := map[string]*fwk.Status{}
	for _, host := range []string{"two", "one", "none"} {
		got[host] = filtered(t, p, pod, host)
	}
	want := map[string]*fwk.Status{"two": nil, "one": refused("host(s) offer no device nic"), "none": refused("host(s) offer no device gpu")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestAVMThatTakesAnyGuestIsSkipped(t *testing.T) {
	for _, domain := range []string{"", "{}", `devices: {}`, "not a domain", "cpu: {mode: host-passthrough}"} {
		_, status := (&plugin{}).PreFilter(t.Context(), framework.NewCycleState(), projected(t, domain), nil)
		if !status.IsSkip() {
			t.Errorf("domain %q: %v", domain, status)
		}
	}
}

func TestAVMThatEverySortOfHostCanRunIsSkipped(t *testing.T) {
	share := fleet.Share()
	p := newPlugin(t, true)
	see := func(name string, types ...v1alpha1.DomainType) {
		hv := hypervisor(name, types...)
		if _, err := share(hv); err != nil {
			t.Fatal(err)
		}
		p.fleet.See(hv)
	}
	for i, step := range []struct {
		see  func()
		want bool
	}{
		{func() { see("a", kvm); see("b", kvm) }, true},
		{func() { see("c", qemu) }, false},
		// It is replaced by one that can, or reports anew.
		{func() { see("c", kvm, qemu) }, true},
		{func() { see("b", qemu) }, false},
		{func() { see("b", kvm) }, true},
		{func() {
			for i := range 40 {
				other := kvm
				other.Machines = []string{fmt.Sprintf("pc-%d", i)}
				see(fmt.Sprintf("sort-%d", i), other)
			}
		}, false},
	} {
		step.see()
		_, status := p.PreFilter(t.Context(), framework.NewCycleState(), projected(t, `type: kvm`), nil)
		if status.IsSkip() != step.want {
			t.Errorf("step %d: %v, want skipped %t", i, status, step.want)
		}
	}
}

func TestDevicesAreEachHostsOwn(t *testing.T) {
	p := newPlugin(t, true, with(hypervisor("a", kvm), "gpu"))
	if _, status := p.PreFilter(t.Context(), framework.NewCycleState(), projected(t, `type: kvm`, "gpu"), nil); !status.IsSuccess() {
		t.Errorf("%v, want that each host is looked at", status)
	}
}

func TestUntilTheHostsAreReadAVMIsTriedAgainSoon(t *testing.T) {
	p := newPlugin(t, false)
	_, status := p.PreFilter(t.Context(), framework.NewCycleState(), projected(t, `type: kvm`), nil)
	if status.Code() != fwk.Error {
		t.Errorf("status %v", status)
	}
}

func TestVMsAreEqualIfTheyDemandTheSame(t *testing.T) {
	sign := func(domain string, devices ...string) []fwk.SignFragment {
		fragments, status := (&plugin{}).SignPod(t.Context(), projected(t, domain, devices...))
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		return fragments
	}
	same := sign(`cpu: {features: [{name: aes}, {name: vmx}]}`, "gpu", "nic")
	if diff := cmp.Diff(same, sign(`cpu: {features: [{name: vmx}, {name: aes, policy: require}]}`, "nic", "gpu")); diff != "" {
		t.Errorf("signature (-want +got):\n%s", diff)
	}
	for name, other := range map[string][]fwk.SignFragment{
		"other features": sign(`cpu: {features: [{name: aes}]}`, "gpu", "nic"),
		"other devices":  sign(`cpu: {features: [{name: aes}, {name: vmx}]}`, "gpu"),
	} {
		if cmp.Equal(same, other) {
			t.Errorf("%s: the same signature", name)
		}
	}
}

func TestArgumentsAreRefused(t *testing.T) {
	const want = "pluginConfig[HostCompatibility].args: this plugin takes none, remove them"
	_, err := New(nil)(t.Context(), &runtime.Unknown{Raw: []byte(`{"ignore":["machine"]}`)}, nil)
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, none := range []runtime.Object{nil, &runtime.Unknown{}} {
		if _, err := New(nil)(t.Context(), none, nil); err != nil {
			t.Error(err)
		}
	}
}
