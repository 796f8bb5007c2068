package convert

import "libvirt.org/go/libvirtxml"

// agentChannel is the name of the channel on which QEMU's guest agent is spoken
// to.
const agentChannel = "org.qemu.guest_agent.0"

// setAgentChannel gives a guest of QEMU's the channel of its agent, on a socket
// that libvirt makes. A user who lists channels gets just those, and none with
// an empty list.
func setAgentChannel(domain *libvirtxml.Domain) {
	devices := domain.Devices
	if devices.Channels != nil || domain.Type != "kvm" && domain.Type != "qemu" {
		return
	}
	devices.Channels = []libvirtxml.DomainChannel{{
		Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
		Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: agentChannel}},
	}}
}
