package convert

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func withInterfaces(cards ...v1alpha1.VirtualMachineInterface) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	vm.Namespace, vm.Name, vm.UID = "ns", "guest", "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa"
	vm.Spec.Interfaces = cards
	return vm
}

func TestInterfaces(t *testing.T) {
	average, peak := 1000, 2000
	plain := v1alpha1.VirtualMachineInterface{Name: "lan", NetworkName: "lan"}
	mac := withInterfaces(plain).MACOf(&plain)
	for name, test := range map[string]struct {
		card v1alpha1.VirtualMachineInterface
		to   Card
		want libvirtxml.DomainInterface
	}{
		"nothing but a network": {plain, Card{Network: "ns.lan.vn-1"}, libvirtxml.DomainInterface{
			MAC: &libvirtxml.DomainInterfaceMAC{Address: mac}, Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"},
			Source: &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "ns.lan.vn-1"}},
			Alias:  &libvirtxml.DomainAlias{Name: "ua-if-lan"},
		}},
		"all of it": {v1alpha1.VirtualMachineInterface{
			Name: "lan", NetworkName: "lan", MACAddress: "52:54:00:00:00:01", Model: v1alpha1.ModelE1000, MTU: 1400, Isolated: true, BootOrder: 2,
			Bandwidth: &v1alpha1.InterfaceBandwidth{Outbound: &v1alpha1.BandwidthLimit{Average: 1000, Peak: 2000}},
		}, Card{Network: "n"}, libvirtxml.DomainInterface{
			MAC: &libvirtxml.DomainInterfaceMAC{Address: "52:54:00:00:00:01"}, Model: &libvirtxml.DomainInterfaceModel{Type: "e1000"},
			Source: &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "n"}},
			Alias:  &libvirtxml.DomainAlias{Name: "ua-if-lan"}, MTU: &libvirtxml.DomainInterfaceMTU{Size: 1400},
			PortOptions: &libvirtxml.DomainInterfacePortOptions{Isolated: "yes"}, Boot: &libvirtxml.DomainDeviceBoot{Order: 2},
			Bandwidth: &libvirtxml.DomainInterfaceBandwidth{Outbound: &libvirtxml.DomainInterfaceBandwidthParams{Average: &average, Peak: &peak}},
		}},
		"a tap that somebody else made": {plain, Card{Tap: "tap7", MAC: "52:54:00:AA:00:01", MTU: 1450}, libvirtxml.DomainInterface{
			MAC: &libvirtxml.DomainInterfaceMAC{Address: "52:54:00:aa:00:01"}, Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"},
			Source: &libvirtxml.DomainInterfaceSource{Ethernet: &libvirtxml.DomainInterfaceSourceEthernet{}},
			Target: &libvirtxml.DomainInterfaceTarget{Dev: "tap7", Managed: "no"},
			Alias:  &libvirtxml.DomainAlias{Name: "ua-if-lan"}, MTU: &libvirtxml.DomainInterfaceMTU{Size: 1450},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			domain := &libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{}}
			if errs := setInterfaces(domain, withInterfaces(test.card), map[string]Card{"lan": test.to}); len(errs) > 0 {
				t.Fatal(errs)
			}
			if diff := cmp.Diff([]libvirtxml.DomainInterface{test.want}, domain.Devices.Interfaces); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInterfacesThatCannotBe(t *testing.T) {
	own := libvirtxml.DomainInterface{MAC: &libvirtxml.DomainInterfaceMAC{Address: "52:54:00:00:00:0A"}}
	for name, test := range map[string]struct {
		cards []v1alpha1.VirtualMachineInterface
		boot  bool
		want  string
	}{
		"a network that is not there":  {[]v1alpha1.VirtualMachineInterface{{Name: "a", NetworkName: "far"}}, false, `spec.interfaces[0].networkName: Not found: "far"`},
		"the address of a card of its": {[]v1alpha1.VirtualMachineInterface{{Name: "lan", MACAddress: "52:54:00:00:00:0a"}}, false, "spec.interfaces[0].macAddress: Duplicate value"},
		"an order beside boot devices": {[]v1alpha1.VirtualMachineInterface{{Name: "lan", BootOrder: 1}}, true, "spec.interfaces[0].bootOrder: Forbidden"},
		"one address for two":          {[]v1alpha1.VirtualMachineInterface{{Name: "lan", MACAddress: "52:54:00:00:00:01"}, {Name: "dmz", MACAddress: "52:54:00:00:00:01"}}, false, "spec.interfaces[1].macAddress: Duplicate value"},
	} {
		domain := &libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{Interfaces: []libvirtxml.DomainInterface{own}}, OS: &libvirtxml.DomainOS{}}
		if test.boot {
			domain.OS.BootDevices = []libvirtxml.DomainBootDevice{{Dev: "hd"}}
		}
		errs := setInterfaces(domain, withInterfaces(test.cards...), map[string]Card{"lan": {Network: "n"}, "dmz": {Network: "m"}})
		if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), test.want) {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

// An address follows from the VM and the card, and is of the locally administered
// ones; what follows is written into documents that are kept.
func TestAddressesThatFollow(t *testing.T) {
	vm := withInterfaces(v1alpha1.VirtualMachineInterface{Name: "lan"}, v1alpha1.VirtualMachineInterface{Name: "dmz"})
	first, second := vm.MACOf(&vm.Spec.Interfaces[0]), vm.MACOf(&vm.Spec.Interfaces[1])
	if first != "0e:59:b3:c8:f6:98" || first == second {
		t.Errorf("%s and %s", first, second)
	}
	other := withInterfaces(v1alpha1.VirtualMachineInterface{Name: "lan"})
	if got := other.MACOf(&other.Spec.Interfaces[0]); got != first {
		t.Errorf("the same card has %s and %s", got, first)
	}
	other.UID = "1b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa"
	if got := other.MACOf(&other.Spec.Interfaces[0]); got == first {
		t.Errorf("another VM's card has %s too", got)
	}
	for _, mac := range []string{first, second} {
		if mac[1] != '2' && mac[1] != '6' && mac[1] != 'a' && mac[1] != 'e' || strings.HasPrefix(mac, "fe") || len(mac) != 17 {
			t.Errorf("%s is not locally administered, of one card", mac)
		}
	}
}

func TestACardThatIsPluggedIn(t *testing.T) {
	vm := withInterfaces(v1alpha1.VirtualMachineInterface{Name: "lan", BootOrder: 1})
	text, err := InterfaceXML(vm, &vm.Spec.Interfaces[0], Card{Network: "n"})
	if err != nil {
		t.Fatal(err)
	}
	var got libvirtxml.DomainInterface
	if err := xml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Boot != nil || got.Alias.Name != "ua-if-lan" || got.Source.Network.Network != "n" {
		t.Errorf("%s", text)
	}
}

func TestTheRecordOfCards(t *testing.T) {
	lan, dmz := v1alpha1.VirtualMachineInterface{Name: "lan", NetworkName: "a"}, v1alpha1.VirtualMachineInterface{Name: "dmz", NetworkName: "b"}
	before, after := withInterfaces(lan), withInterfaces(lan, dmz)
	record := RecordSpec(&before.Spec)
	if changed, ok := record.Changed(&before.Spec); !ok || len(changed) > 0 {
		t.Errorf("unchanged: %v", changed)
	}
	if changed, _ := record.Changed(&after.Spec); !cmp.Equal(changed, []string{"spec.interfaces.dmz"}) {
		t.Errorf("a card more: %v", changed)
	}
	record = record.Replugged(&after.Spec, "dmz")
	if changed, _ := record.Changed(&after.Spec); len(changed) > 0 || !cmp.Equal(record.Interfaces(), []string{"dmz", "lan"}) {
		t.Errorf("plugged in: %v, %v", changed, record.Interfaces())
	}
	record = record.Replugged(&before.Spec, "dmz")
	if changed, _ := record.Changed(&before.Spec); len(changed) > 0 || record.HasInterface("dmz") || !record.HasInterface("lan") {
		t.Errorf("unplugged: %v", changed)
	}
	virtio := lan
	virtio.Model = v1alpha1.ModelVirtio
	if changed, _ := record.Changed(&withInterfaces(virtio).Spec); len(changed) > 0 {
		t.Errorf("the default said: %v", changed)
	}
	moved := lan
	moved.NetworkName = "c"
	changed, _ := record.Changed(&withInterfaces(moved).Spec)
	if name, is := InterfaceOfField(changed[0]); !is || name != "lan" {
		t.Errorf("another network: %v", changed)
	}
}
