package intake_test

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/intake"
	"domus.dev/domus/pkg/convert/objects"
)

// ofNova is what OpenStack writes of a disk in Ceph and a port of Open vSwitch.
const ofNova = `<domain type='kvm'><name>a</name><memory unit='GiB'>1</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>
<disk type='network' device='disk'><driver name='qemu' type='raw'/><auth username='cinder'><secret type='ceph' uuid='11111111-1111-4111-8111-111111111111'/></auth>
<source protocol='rbd' name='vms/x'><host name='192.0.2.1' port='6789'/></source><target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><source bridge='br-int'/><virtualport type='openvswitch'><parameters interfaceid='11111111-1111-4111-8111-111111111111'/></virtualport>
<target dev='tap1234abcd-12'/><model type='virtio'/></interface>
<interface type='ethernet'><target dev='tapmine' managed='no'/><model type='virtio'/></interface>
<interface type='user'><virtualport type='openvswitch'><parameters interfaceid='11111111-1111-4111-8111-111111111111'/></virtualport><model type='virtio'/></interface></devices></domain>`

func TestOneCauseIsOneRefusal(t *testing.T) {
	obj, err := objects.FromXML("a.xml", []byte(ofNova), objects.FromOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, changes, refusals := intake.Machine(obj.(*v1alpha1.VirtualMachine), intake.Options{Namespace: "demo", Level: v1alpha1.PolicyRestricted})
	want := map[string]string{
		"spec.domain.devices.disks[0].source.network":       "; with another source, remove auth too",
		"spec.domain.devices.interfaces[0].source.bridge":   "; with another source, remove virtualPort too",
		"spec.domain.devices.interfaces[1].source.ethernet": "; with another source, remove target too",
		// Its source is allowed, so that this is a cause of its own.
		"spec.domain.devices.interfaces[2].virtualPort": "",
	}
	for _, r := range refusals {
		end, is := want[r.Field]
		if !is || !strings.HasSuffix(r.Detail, end) || end == "" && strings.Contains(r.Detail, "another source") {
			t.Errorf("refused: %s", r)
		}
		delete(want, r.Field)
	}
	for path := range want {
		t.Errorf("%s is not refused", path)
	}
	told := false
	for _, c := range changes {
		told = told || c.Path == "spec.domain.devices.interfaces[0].target" && strings.Contains(c.String(), "tap1234abcd-12")
		if c.Path == "spec.domain.devices.interfaces[1].target" {
			t.Errorf("a tap of the user's own: %s", c)
		}
	}
	if !told {
		t.Errorf("told is %v", changes)
	}
}
