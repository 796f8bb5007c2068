package policy

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
)

// Names of the channels that restricted allows, by who speaks on them.
const (
	guestAgentChannel = "org.qemu.guest_agent.0"
	spiceChannel      = "com.redhat.spice.0"
)

var characterRules = []rule{
	{
		says:  "`devices.channels[]` is unix for " + guestAgentChannel + " or spiceVMC for " + spiceChannel + "; a unix source is in mode bind",
		why:   "libvirt then makes the socket where only it reaches it; mode connect would reach for a socket of the host",
		check: checkChannels,
	},
}

func checkChannels(s scope) field.ErrorList {
	devices, at := s.devices()
	var errs field.ErrorList
	for i := range devices.Channels {
		errs = append(errs, checkChannel(&devices.Channels[i], at.Child("channels").Index(i))...)
	}
	return errs
}

func checkChannel(channel *libvirtxml.DomainChannel, at *field.Path) field.ErrorList {
	source := channel.Source
	if source == nil || source.UNIX == nil && source.SpiceVMC == nil {
		return field.ErrorList{field.Required(at.Child("source"), "say unix: {} for the guest agent, or spiceVMC: true")}
	}
	want := spiceChannel
	var errs field.ErrorList
	if source.UNIX != nil {
		want = guestAgentChannel
		errs = oneOf(at.Child("source", "unix", "mode"), source.UNIX.Mode, "bind")
	}
	name := at.Child("target", "virtIO", "name")
	if channel.Target == nil || channel.Target.VirtIO == nil || channel.Target.VirtIO.Name == "" {
		return append(errs, field.Required(name, "must be "+want))
	}
	return append(errs, oneOf(name, channel.Target.VirtIO.Name, want)...)
}
