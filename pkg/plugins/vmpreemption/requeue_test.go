package vmpreemption

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/plugins/fleet/fleettest"
)

func TestAVMThatWasHeldBackIsTriedWhenItsVictimHasLeft(t *testing.T) {
	on := func(name, host string) *corev1.Pod {
		pod := vm("", 1)
		pod.Name, pod.UID, pod.Spec.NodeName = name, "other", host
		return pod
	}
	waits := vm("", 1)
	nominated := vm("", 1)
	nominated.Status.NominatedNodeName = "a"
	for name, test := range map[string]struct {
		pod, left *corev1.Pod
		promised  string
		want      fwk.QueueingHint
	}{
		"from the host promised to it":                {waits, on("vm:x.0", "a"), "a", fwk.Queue},
		"from another host":                           {waits, on("vm:x.0", "b"), "a", fwk.QueueSkip},
		"from the host it says itself":                {nominated, on("vm:x.0", "a"), "", fwk.Queue},
		"from another than it says itself":            {nominated, on("vm:x.0", "b"), "", fwk.QueueSkip},
		"and nobody knows what was promised":          {waits, on("vm:x.0", "b"), "", fwk.Queue},
		"on its way to a host that it does not say":   {waits, on("vm:x.0", ""), "a", fwk.Queue},
		"a Pod, which frees nothing that VMs may use": {waits, on("x", "a"), "a", fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			p := &plugin{fleet: fleettest.New(t)}
			if test.promised != "" {
				p.fleet.Promised(test.pod, test.promised)
			}
			got, err := p.afterVMLeft(klog.Background(), test.pod, test.left, nil)
			if err != nil || got != test.want {
				t.Errorf("hint %v, error %v; want %v", got, err, test.want)
			}
		})
	}
}
