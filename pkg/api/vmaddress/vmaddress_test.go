package vmaddress

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// network is as pods:cni or lan:nat:192.168.9.1/24.
func network(text string) *v1alpha1.VirtualNetwork {
	parts := strings.SplitN(text, ":", 3)
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Name: parts[0]}}
	n.Spec.Type = v1alpha1.NetworkType(parts[1])
	if len(parts) > 2 {
		n.Spec.Subnets = []v1alpha1.NetworkSubnet{{Address: parts[2]}}
	}
	return n
}

func among(texts ...string) Networks {
	return func(name string) *v1alpha1.VirtualNetwork {
		for _, t := range texts {
			if n := network(t); n.Name == name {
				return n
			}
		}
		return nil
	}
}

// machine has a card of each network's name; it was seen with these addresses, as
// pods=10.1.0.5,fd00::5, and given those behind a +.
func machine(cards ...string) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	for _, c := range cards {
		name, list, has := strings.Cut(c, "=")
		vm.Spec.Interfaces = append(vm.Spec.Interfaces, v1alpha1.VirtualMachineInterface{Name: name, NetworkName: name})
		if !has {
			continue
		}
		i := v1alpha1.InterfaceStatus{Name: name, NetworkName: name}
		for _, a := range strings.Split(list, ",") {
			given, is := strings.CutPrefix(a, "+")
			i.Addresses = append(i.Addresses, given)
			if is {
				i.Assigned = append(i.Assigned, given)
			}
		}
		vm.Status.Interfaces = append(vm.Status.Interfaces, i)
	}
	return vm
}

func TestAddressesOfServices(t *testing.T) {
	for name, test := range map[string]struct {
		vm         *v1alpha1.VirtualMachine
		networks   []string
		named      string
		privileged bool
		want       string
	}{
		"the card of CNI before others":          {vm: machine("lan=10.0.0.9", "pods=+10.1.0.5,+fd00::5"), networks: []string{"lan:bridge", "pods:cni"}, privileged: true, want: "pods 10.1.0.5 fd00::5"},
		"what a guest of CNI says is nothing":    {vm: machine("pods=10.96.0.1,+10.1.0.5"), networks: []string{"pods:cni"}, want: "pods 10.1.0.5"},
		"a plugin's order is kept":               {vm: machine("pods=+10.1.0.9,+10.1.0.5"), networks: []string{"pods:cni"}, want: "pods 10.1.0.9"},
		"only that":                              {vm: machine("pods=10.96.0.1"), networks: []string{"pods:cni"}, want: "not yet"},
		"the same card, address or not":          {vm: machine("pods=10.96.0.1", "lan=10.0.0.9"), networks: []string{"lan:bridge", "pods:cni"}, privileged: true, want: "not yet"},
		"routed before bridge":                   {vm: machine("lan=10.0.0.9", "far=10.2.0.7"), networks: []string{"lan:bridge", "far:routed:10.2.0.1/24"}, privileged: true, want: "far 10.2.0.7"},
		"the lowest of several":                  {vm: machine("lan=10.0.0.9,10.0.0.4,fd00::9,fd00::4"), networks: []string{"lan:bridge"}, privileged: true, want: "lan 10.0.0.4 fd00::4"},
		"of a subnet what is in it":              {vm: machine("far=8.8.8.8,10.2.0.1,10.2.0.7"), networks: []string{"far:routed:10.2.0.1/24"}, privileged: true, want: "far 10.2.0.7"},
		"bridges for privileged namespaces":      {vm: machine("lan=10.0.0.9"), networks: []string{"lan:bridge"}, want: "in namespaces labelled domus.dev/policy-level=privileged alone"},
		"not what the host alone knows":          {vm: machine("home=192.168.9.7"), networks: []string{"home:nat:192.168.9.1/24"}, privileged: true, want: "none of its cards"},
		"unless it is named":                     {vm: machine("pods=+10.1.0.5", "home=192.168.9.7"), networks: []string{"home:nat:192.168.9.1/24", "pods:cni"}, named: "home", privileged: true, want: "home 192.168.9.7"},
		"and the namespace is privileged":        {vm: machine("home=192.168.9.7"), networks: []string{"home:nat:192.168.9.1/24"}, named: "home", want: "where guests choose their addresses"},
		"a network that the VM is not on":        {vm: machine("pods=+10.1.0.5"), networks: []string{"pods:cni", "lan:cni"}, named: "lan", want: "it has no card on VirtualNetwork lan"},
		"no card":                                {vm: machine(), want: "it has no card in spec.interfaces"},
		"a card that the guest has not yet":      {vm: machine("pods"), networks: []string{"pods:cni"}, want: "not yet"},
		"none that the API server would refuse":  {vm: machine("pods=+127.0.0.1,+169.254.0.1,+fe80::1,+::ffff:10.1.0.5,+224.0.0.1,+0.0.0.0,+10.1.0.6"), networks: []string{"pods:cni"}, want: "pods 10.1.0.6"},
		"nor what is none":                       {vm: machine("pods=+fe80::1%eth0,+nonsense,+10.1.0.6"), networks: []string{"pods:cni"}, want: "pods 10.1.0.6"},
		"a network that is gone is passed over":  {vm: machine("gone=+10.3.0.5", "pods=+10.1.0.5"), networks: []string{"pods:cni"}, want: "pods 10.1.0.5"},
		"but not where it was asked for by name": {vm: machine("gone=+10.3.0.5"), named: "gone", want: "there is no VirtualNetwork gone: create it"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := ForService(test.vm, among(test.networks...), test.named, test.privileged)
			got := a.Card
			for _, ip := range a.IPs() {
				got += " " + ip.String()
			}
			if err != nil {
				got = err.Error()
				if (test.want == "not yet") != errors.Is(err, ErrNotYet) {
					t.Errorf("not yet: %t, %v", errors.Is(err, ErrNotYet), err)
				}
			}
			if err == nil && got != test.want || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAddressesOfProbes(t *testing.T) {
	networks := among("home:nat:192.168.9.1/24", "pods:cni", "tap:direct")
	for name, test := range map[string]struct {
		vm    *v1alpha1.VirtualMachine
		named string
		want  string
	}{
		"the host reaches its own networks": {machine("home=192.168.9.7"), "", "home 192.168.9.7"},
		"but goes where Services do":        {machine("home=192.168.9.7", "pods=+10.1.0.5"), "", "pods 10.1.0.5"},
		"or where it is told":               {machine("home=192.168.9.7", "pods=+10.1.0.5"), "home", "home 192.168.9.7"},
		"not to itself":                     {machine("home=192.168.9.1"), "", "not yet"},
		"not by macvtap":                    {machine("tap=10.0.0.9"), "", "whose guests their host does not reach"},
		"not by a card that there is not":   {machine("home=192.168.9.7"), "lan", "spec.readinessProbe.interfaceName: there is no card lan"},
	} {
		a, err := ForProbe(test.vm, networks, test.named)
		got := fmt.Sprint(a.Card, a.IPs())
		if err != nil {
			got = err.Error()
		}
		if got = strings.NewReplacer("[", " ", "]", "").Replace(got); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
