package admission

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// taken is who has a card of the one address.
type taken struct{ namespace, name string }

func (h taken) Holder(mac string, than types.UID) (namespace, name string, ok bool) {
	return h.namespace, h.name, mac == "52:54:00:00:00:01" && than != "own"
}

func TestAddressesThatTwoCardsWouldHave(t *testing.T) {
	vm := func(uid types.UID, macs ...string) *v1alpha1.VirtualMachine {
		out := &v1alpha1.VirtualMachine{}
		out.Namespace, out.UID = "ns", uid
		for _, mac := range macs {
			out.Spec.Interfaces = append(out.Spec.Interfaces, v1alpha1.VirtualMachineInterface{Name: "a" + mac, MACAddress: mac})
		}
		return out
	}
	for name, test := range map[string]struct {
		vm, old *v1alpha1.VirtualMachine
		holder  taken
		want    string
	}{
		"none":                      {vm: vm("x", "", "")},
		"free":                      {vm: vm("x", "52:54:00:00:00:02")},
		"its own":                   {vm: vm("own", "52:54:00:00:00:01")},
		"of a VM beside it":         {vm: vm("x", "52:54:00:00:00:01"), holder: taken{"ns", "web"}, want: "is the address of a card of VirtualMachine web"},
		"of another namespace's":    {vm: vm("x", "52:54:00:00:00:01"), holder: taken{"secret", "web"}, want: "is the address of a card of another namespace's VirtualMachine"},
		"twice":                     {vm: vm("x", "52:54:00:00:00:02", "52:54:00:00:00:02"), want: "spec.interfaces[1].macAddress: Duplicate value"},
		"one that it had all along": {vm: vm("x", "52:54:00:00:00:01"), old: vm("x", "52:54:00:00:00:01"), holder: taken{"ns", "web"}},
	} {
		errs := (&Validator{cards: test.holder}).checkInterfaces(test.vm, test.old)
		if got := errs.ToAggregate(); test.want == "" && got != nil || test.want != "" && (got == nil || !strings.Contains(got.Error(), test.want) || strings.Contains(got.Error(), "secret")) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
