package convert

import "libvirt.org/go/libvirtxml"

// setConsoleLog logs the guest's first serial console to path. A domain with no
// serial port and no console gets a serial port; a first one that is a plain
// terminal and is not logged elsewhere gets the log; any other stays as it is.
func setConsoleLog(devices *libvirtxml.DomainDeviceList, path string) {
	if path == "" {
		return
	}
	// append keeps what the guest said before it was started again.
	log := &libvirtxml.DomainChardevLog{File: path, Append: "on"}
	switch {
	case len(devices.Serials) > 0:
		if first := &devices.Serials[0]; first.Log == nil && isTerminal(first.Source) {
			first.Log = log
		}
	case len(devices.Consoles) > 0:
		// libvirt makes a serial port of a first console that is of that kind,
		// with its log.
		first := &devices.Consoles[0]
		serial := first.Target == nil || first.Target.Type == "" || first.Target.Type == "serial"
		if serial && first.Log == nil && isTerminal(first.Source) {
			first.Log = log
		}
	default:
		devices.Serials = []libvirtxml.DomainSerial{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Log:    log,
		}}
	}
}

// isTerminal says whether a character device is a pseudo-terminal, libvirt's
// default when nothing is said.
func isTerminal(source *libvirtxml.DomainChardevSource) bool {
	return source == nil || *source == libvirtxml.DomainChardevSource{} || source.Pty != nil
}
