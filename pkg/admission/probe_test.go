package admission

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestProbesThatCouldNotBeMade(t *testing.T) {
	for name, test := range map[string]struct {
		port   intstr.IntOrString
		change func(*v1alpha1.VirtualMachineSpec)
		want   string
	}{
		"a number":               {port: intstr.FromInt32(80)},
		"a name":                 {port: intstr.FromString("web")},
		"a name of UDP":          {port: intstr.FromString("dns"), want: `spec.readinessProbe.httpGet.port: Invalid value: "dns": spec.ports has no TCP port of this name`},
		"a card":                 {port: intstr.FromInt32(80), change: func(s *v1alpha1.VirtualMachineSpec) { s.ReadinessProbe.InterfaceName = "lan" }},
		"a card that it has not": {port: intstr.FromInt32(80), change: func(s *v1alpha1.VirtualMachineSpec) { s.ReadinessProbe.InterfaceName = "dmz" }, want: `spec.readinessProbe.interfaceName: Invalid value: "dmz": spec.interfaces has no card of this name`},
		"no card":                {port: intstr.FromInt32(80), change: func(s *v1alpha1.VirtualMachineSpec) { s.Interfaces = nil }, want: "spec.interfaces: Invalid value: \"\": a VirtualMachine with spec.readinessProbe needs a card"},
		"no probe":               {port: intstr.FromString("none"), change: func(s *v1alpha1.VirtualMachineSpec) { s.ReadinessProbe = nil }},
	} {
		spec := &v1alpha1.VirtualMachineSpec{
			Interfaces:     []v1alpha1.VirtualMachineInterface{{Name: "lan", NetworkName: "lan"}},
			Ports:          []v1alpha1.GuestPort{{Name: "web", Port: 8080}, {Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53}},
			ReadinessProbe: &v1alpha1.ReadinessProbe{HTTPGet: &v1alpha1.HTTPGetProbe{Port: test.port}},
		}
		if test.change != nil {
			test.change(spec)
		}
		got := checkProbe(spec).ToAggregate()
		if test.want == "" && got != nil || test.want != "" && (got == nil || !strings.HasPrefix(got.Error(), test.want)) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
