package intake

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
)

var loopbacks = []string{"", "127.0.0.1", "::1", "localhost"}

// graphics has consoles listen on the host's loopback, at ports that libvirt
// chooses: they are reached through the API.
func (s *state) graphics() {
	if !s.restricted() {
		return
	}
	for i := range s.domain.Devices.Graphics {
		here := at("devices", "graphics").Index(i)
		switch g := &s.domain.Devices.Graphics[i]; {
		case g.VNC != nil:
			here = here.Child("vnc")
			s.loopback(&g.VNC.Listen, &g.VNC.Listeners, here)
			s.anyPort(&g.VNC.Port, here.Child("port"))
			if g.VNC.Port == -1 {
				g.VNC.AutoPort = "yes"
			}
		case g.Spice != nil:
			here = here.Child("spice")
			s.loopback(&g.Spice.Listen, &g.Spice.Listeners, here)
			s.anyPort(&g.Spice.Port, here.Child("port"))
			s.anyPort(&g.Spice.TLSPort, here.Child("tlsPort"))
			if g.Spice.Port == -1 || g.Spice.TLSPort == -1 {
				g.Spice.AutoPort = "yes"
			}
		}
	}
}

const throughAPI = "a console is reached through the API, whose users are known"

func (s *state) loopback(listen *string, listeners *[]libvirtxml.DomainGraphicListener, here *field.Path) {
	if !slices.Contains(loopbacks, *listen) {
		s.changed(here.Child("listen"), "removed "+*listen, throughAPI)
		*listen = ""
		// libvirt repeats the address there.
		*listeners = slices.DeleteFunc(*listeners, func(l libvirtxml.DomainGraphicListener) bool { return remote(l) != "" })
		return
	}
	for i, l := range *listeners {
		if where := remote(l); where != "" {
			s.changed(here.Child("listeners").Index(i), "removed "+where, throughAPI)
		}
	}
	*listeners = slices.DeleteFunc(*listeners, func(l libvirtxml.DomainGraphicListener) bool { return remote(l) != "" })
	if len(*listeners) == 0 {
		*listeners = nil
	}
}

// remote is where a listener listens beyond the loopback; empty when it does
// not.
func remote(l libvirtxml.DomainGraphicListener) string {
	switch {
	case l.Address != nil && !slices.Contains(loopbacks, l.Address.Address):
		return l.Address.Address
	case l.Network != nil:
		return "network " + l.Network.Network
	}
	return ""
}

func (s *state) anyPort(port *int, here *field.Path) {
	if *port <= 0 {
		return
	}
	s.changed(here, "set to -1", "fixed ports of several VMs collide on a host: libvirt chooses")
	*port = -1
}
