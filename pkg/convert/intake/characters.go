package intake

import (
	"slices"

	"libvirt.org/go/libvirtxml"
)

// inputs drops what says nothing: a source without a device is how emulated ones
// are read.
func (s *state) inputs() {
	for i := range s.domain.Devices.Inputs {
		if input := &s.domain.Devices.Inputs[i]; input.Source != nil && *input.Source == (libvirtxml.DomainInputSource{}) {
			input.Source = nil
		}
	}
}

// managersChannels are channels whose other end is a manager of hosts that is
// not here.
var managersChannels = []string{"ovirt-guest-agent.0", "com.redhat.rhevm.vdsm", "org.ovirt.hosted-engine-setup.0"}

// channels has libvirt make the sockets of the guest agent's channels, and drops
// the channels of oVirt's own agents.
func (s *state) channels() {
	for i, channel := range s.domain.Devices.Channels {
		here := at("devices", "channels").Index(i)
		name := ""
		if channel.Target != nil && channel.Target.VirtIO != nil {
			name = channel.Target.VirtIO.Name
		}
		if slices.Contains(managersChannels, name) {
			s.changed(here, "removed "+name, "oVirt's manager is at its other end, and is not here")
			s.drop("channels", i)
			continue
		}
		if source := channel.Source; source != nil && source.UNIX != nil && source.UNIX.Path != "" && name == agentChannel {
			s.changed(here.Child("source", "unix", "path"), "removed "+source.UNIX.Path, "libvirt makes the socket where only it reaches it")
			source.UNIX.Path = ""
		}
	}
}

const agentChannel = "org.qemu.guest_agent.0"

// serials drops logs on the old host: Domus logs the first serial port itself.
func (s *state) serials() {
	if !s.restricted() {
		return
	}
	const why = "Domus logs the first serial port where the host's administrator wants it"
	for i := range s.domain.Devices.Serials {
		if serial := &s.domain.Devices.Serials[i]; serial.Log != nil {
			s.changed(at("devices", "serials").Index(i).Child("log"), "removed "+serial.Log.File, why)
			serial.Log = nil
		}
	}
	for i := range s.domain.Devices.Consoles {
		if console := &s.domain.Devices.Consoles[i]; console.Log != nil {
			s.changed(at("devices", "consoles").Index(i).Child("log"), "removed "+console.Log.File, why)
			console.Log = nil
		}
	}
}
