package convert

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Card is what a card of spec.interfaces is connected to on the host: exactly one of
// Network and Tap.
type Card struct {
	// Network is a libvirt network.
	Network string
	// Tap is a device of the host that somebody else made and removes.
	Tap string
	// MAC and MTU take the place of what the VM says, where they are set: whoever
	// made the tap has the last word.
	MAC string
	MTU int32
	// Addresses are IP addresses that the network is known to have given the card,
	// each as 10.1.2.3/24; none where the guest asks for its address itself.
	Addresses []string
}

// interfacesPath is where a VirtualMachine names its cards.
var interfacesPath = field.NewPath("spec", "interfaces")

// cardAlias begins the names by which libvirt tells the cards of spec.interfaces
// from a domain's other devices. libvirt keeps names that begin with ua-.
const cardAlias = "ua-if-"

// CardAlias is the alias of the card of that name.
func CardAlias(name string) string { return cardAlias + name }

// CardOfAlias is the name in spec.interfaces of the device with the alias; false
// for any other device.
func CardOfAlias(alias string) (string, bool) { return strings.CutPrefix(alias, cardAlias) }

// setInterfaces gives the guest the cards of spec.interfaces, behind those that the
// user wrote in spec.domain, in their order. cards are by the names of the VM's.
func setInterfaces(domain *libvirtxml.Domain, vm *v1alpha1.VirtualMachine, cards map[string]Card) (errs field.ErrorList) {
	seen := map[string]bool{}
	for i := range domain.Devices.Interfaces {
		if mac := domain.Devices.Interfaces[i].MAC; mac != nil {
			seen[strings.ToLower(mac.Address)] = true
		}
	}
	for i := range vm.Spec.Interfaces {
		d, at := &vm.Spec.Interfaces[i], interfacesPath.Index(i)
		card, known := cards[d.Name]
		mac := macOf(vm, d, card)
		switch {
		case !known:
			errs = append(errs, field.NotFound(at.Child("networkName"), d.NetworkName))
			continue
		case seen[mac]:
			errs = append(errs, field.Duplicate(at.Child("macAddress"), mac))
			continue
		case d.BootOrder > 0 && domain.OS != nil && len(domain.OS.BootDevices) > 0:
			errs = append(errs, field.Forbidden(at.Child("bootOrder"), "spec.domain.os.bootDevices says what to boot from: leave out one of the two"))
			continue
		}
		seen[mac] = true
		domain.Devices.Interfaces = append(domain.Devices.Interfaces, interfaceDevice(vm, d, card))
	}
	return errs
}

// InterfaceXML is the document by which a running guest is given the card.
func InterfaceXML(vm *v1alpha1.VirtualMachine, d *v1alpha1.VirtualMachineInterface, card Card) (string, error) {
	device := interfaceDevice(vm, d, card)
	device.Boot = nil // it has booted
	return device.Marshal()
}

func macOf(vm *v1alpha1.VirtualMachine, d *v1alpha1.VirtualMachineInterface, card Card) string {
	if card.MAC != "" {
		return strings.ToLower(card.MAC)
	}
	return vm.MACOf(d)
}

func interfaceDevice(vm *v1alpha1.VirtualMachine, d *v1alpha1.VirtualMachineInterface, card Card) libvirtxml.DomainInterface {
	model := d.Model
	if model == "" {
		model = v1alpha1.ModelVirtio
	}
	out := libvirtxml.DomainInterface{
		MAC:   &libvirtxml.DomainInterfaceMAC{Address: macOf(vm, d, card)},
		Model: &libvirtxml.DomainInterfaceModel{Type: string(model)},
		Alias: &libvirtxml.DomainAlias{Name: CardAlias(d.Name)},
	}
	if card.Tap != "" {
		out.Source = &libvirtxml.DomainInterfaceSource{Ethernet: &libvirtxml.DomainInterfaceSourceEthernet{}}
		out.Target = &libvirtxml.DomainInterfaceTarget{Dev: card.Tap, Managed: "no"}
	} else {
		out.Source = &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: card.Network}}
	}
	mtu := d.MTU
	if card.MTU > 0 && (mtu == 0 || mtu > card.MTU) {
		mtu = card.MTU
	}
	if mtu > 0 {
		out.MTU = &libvirtxml.DomainInterfaceMTU{Size: uint(mtu)}
	}
	if d.Isolated {
		out.PortOptions = &libvirtxml.DomainInterfacePortOptions{Isolated: "yes"}
	}
	if b := d.Bandwidth; b != nil && (b.Inbound != nil || b.Outbound != nil) {
		out.Bandwidth = &libvirtxml.DomainInterfaceBandwidth{Inbound: limitOf(b.Inbound), Outbound: limitOf(b.Outbound)}
	}
	if d.BootOrder > 0 {
		out.Boot = &libvirtxml.DomainDeviceBoot{Order: uint(d.BootOrder)}
	}
	return out
}

func limitOf(l *v1alpha1.BandwidthLimit) *libvirtxml.DomainInterfaceBandwidthParams {
	if l == nil {
		return nil
	}
	amount := func(n int32) *int {
		if n == 0 {
			return nil
		}
		out := int(n)
		return &out
	}
	return &libvirtxml.DomainInterfaceBandwidthParams{Average: amount(l.Average), Peak: amount(l.Peak), Burst: amount(l.Burst)}
}
