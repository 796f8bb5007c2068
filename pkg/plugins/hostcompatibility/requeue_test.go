package hostcompatibility

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestAHypervisorThatComesToOfferWhatAVMDemandsWakesIt(t *testing.T) {
	other, less := full, full
	other.CPUModels = []string{"qemu64"}
	less.CPUModels = nil
	plain, model := projected(t, `type: kvm`), projected(t, `cpu: {model: {value: EPYC}}`)
	device := projected(t, "", "gpu")
	for name, test := range map[string]struct {
		pod      *corev1.Pod
		old, new *v1alpha1.Hypervisor
		want     fwk.QueueingHint
	}{
		"a host with its kind appears":             {plain, nil, hypervisor("a", kvm), fwk.Queue},
		"a host without it appears":                {plain, nil, hypervisor("a", qemu), fwk.QueueSkip},
		"a host comes to offer it":                 {plain, hypervisor("a", qemu), hypervisor("a", kvm, qemu), fwk.Queue},
		"a host that has it changes":               {plain, hypervisor("a", kvm), hypervisor("a", kvm, qemu), fwk.QueueSkip},
		"a host ceases to offer it":                {plain, hypervisor("a", kvm), hypervisor("a", qemu), fwk.QueueSkip},
		"a host comes to list its CPU model":       {model, hypervisor("a", other), hypervisor("a", full), fwk.Queue},
		"a host lists its CPU model as before":     {model, hypervisor("a", full), with(hypervisor("a", full), "gpu"), fwk.QueueSkip},
		"a host ceases to list its CPU model":      {model, hypervisor("a", full), hypervisor("a", other), fwk.QueueSkip},
		"a host comes to list no CPU model":        {model, hypervisor("a", other), hypervisor("a", less), fwk.Queue},
		"a host comes to offer its device":         {device, hypervisor("a", kvm), with(hypervisor("a", kvm), "gpu"), fwk.Queue},
		"a host comes to offer another device":     {device, hypervisor("a", kvm), with(hypervisor("a", kvm), "nic"), fwk.QueueSkip},
		"a host ceases to offer its device":        {device, with(hypervisor("a", kvm), "gpu"), hypervisor("a", kvm), fwk.QueueSkip},
		"a host comes to offer more of the device": {device, with(hypervisor("a", kvm), "gpu"), with(hypervisor("a", kvm), "gpu", "gpu"), fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			var old any
			if test.old != nil {
				old = test.old
			}
			p := newPlugin(t, true)
			got, err := p.afterHostDescribed(logger, test.pod, old, test.new)
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
			// The VM that was woken finds what woke it: the Fleet hears of it first.
			p.fleet.See(test.new)
			if got == fwk.Queue && filtered(t, p, test.pod, "a") != nil {
				t.Error("it was woken for a host that is turned away")
			}
		})
	}
}

func TestANodeThatAppearsWakesUnlessItIsKnownToLackSomething(t *testing.T) {
	p := newPlugin(t, true, hypervisor("fast", kvm), hypervisor("slow", qemu))
	for name, test := range map[string]struct {
		node string
		want fwk.QueueingHint
	}{
		"its Hypervisor offers it":       {"fast", fwk.Queue},
		"its Hypervisor does not":        {"slow", fwk.QueueSkip},
		"its Hypervisor is not read yet": {"new", fwk.Queue},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			got, err := p.afterNodeAdded(logger, projected(t, `type: kvm`), nil, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: test.node}})
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestAVMThatDemandsSomethingElseIsTriedAgain(t *testing.T) {
	before := projected(t, `cpu: {model: {value: Foo}}`, "gpu")
	for name, test := range map[string]struct {
		now  *corev1.Pod
		want fwk.QueueingHint
	}{
		"another CPU model": {projected(t, `cpu: {model: {value: EPYC}}`, "gpu"), fwk.Queue},
		"nothing any more":  {projected(t, ``, "gpu"), fwk.Queue},
		"another device":    {projected(t, `cpu: {model: {value: Foo}}`, "nic"), fwk.Queue},
		"the same":          {projected(t, `{cpu: {mode: custom, model: {value: Foo}}, clock: {offset: utc}}`, "gpu"), fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			got, err := afterVMChanged(logger, test.now, before, test.now)
			if err != nil || got != test.want {
				t.Errorf("hint %v, %v; want %v", got, err, test.want)
			}
		})
	}
}
