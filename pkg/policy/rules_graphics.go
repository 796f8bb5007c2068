package policy

import (
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
)

var graphicsRules = []rule{
	{
		says:  "`devices.graphics[]` listens on 127.0.0.1, ::1 or localhost, or where the host's administrator said",
		why:   "a console is reached through the API, whose users are known",
		check: eachGraphics(checkListen),
	},
	{
		says:  "`devices.graphics[]` has ports -1, which libvirt chooses",
		why:   "fixed ports of several VMs collide on a host",
		check: eachGraphics(checkPorts),
	},
	{
		says:  "`devices.graphics[].vnc.keymap` and `spice.keymap` are the name of a layout such as de or en-us",
		why:   "QEMU opens a file of that name",
		check: eachGraphics(checkKeymap),
	},
}

func eachGraphics(check func(g *libvirtxml.DomainGraphic, at *field.Path) field.ErrorList) func(scope) field.ErrorList {
	return func(s scope) field.ErrorList {
		devices, at := s.devices()
		var errs field.ErrorList
		for i := range devices.Graphics {
			errs = append(errs, check(&devices.Graphics[i], at.Child("graphics").Index(i))...)
		}
		return errs
	}
}

func checkListen(g *libvirtxml.DomainGraphic, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	listen := func(at *field.Path, address string, listeners []libvirtxml.DomainGraphicListener) {
		loopback := []string{"127.0.0.1", "::1", "localhost"}
		errs = append(errs, oneOf(at.Child("listen"), address, loopback...)...)
		for i, l := range listeners {
			if l.Address != nil {
				here := at.Child("listeners").Index(i).Child("address", "address")
				errs = append(errs, oneOf(here, l.Address.Address, loopback...)...)
			}
		}
	}
	if g.VNC != nil {
		listen(at.Child("vnc"), g.VNC.Listen, g.VNC.Listeners)
	}
	if g.Spice != nil {
		listen(at.Child("spice"), g.Spice.Listen, g.Spice.Listeners)
	}
	return errs
}

func checkPorts(g *libvirtxml.DomainGraphic, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	port := func(at *field.Path, port int) {
		if port != 0 && port != -1 {
			errs = append(errs, value(at, port, "must be -1, which lets libvirt choose,"))
		}
	}
	if g.VNC != nil {
		port(at.Child("vnc", "port"), g.VNC.Port)
		port(at.Child("vnc", "webSocket"), g.VNC.WebSocket)
	}
	if g.Spice != nil {
		port(at.Child("spice", "port"), g.Spice.Port)
		port(at.Child("spice", "tlsPort"), g.Spice.TLSPort)
	}
	return errs
}

var layout = regexp.MustCompile(`^[a-z]{2,3}(-[a-z]{2,6})?$`)

func checkKeymap(g *libvirtxml.DomainGraphic, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	keymap := func(at *field.Path, name string) {
		if name != "" && !layout.MatchString(name) {
			errs = append(errs, value(at, name, "must be the name of a layout such as de or en-us"))
		}
	}
	if g.VNC != nil {
		keymap(at.Child("vnc", "keymap"), g.VNC.Keymap)
	}
	if g.Spice != nil {
		keymap(at.Child("spice", "keymap"), g.Spice.Keymap)
	}
	return errs
}
