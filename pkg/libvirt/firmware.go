package libvirt

import (
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// firmwareOf says what libvirt keeps of a domain's firmware.
func firmwareOf(x *libvirtxml.Domain) (out FirmwareState) {
	if x.OS != nil {
		stateless := x.OS.Loader != nil && x.OS.Loader.Stateless == "yes"
		out.UEFI = x.OS.NVRam != nil || x.OS.Firmware == "efi" && !stateless
	}
	if x.Devices != nil {
		for _, tpm := range x.Devices.TPMs {
			out.TPM = out.TPM || tpm.Backend != nil && tpm.Backend.Emulator != nil
		}
	}
	return out
}

// qemuUser reads the user from libvirt's security models: the label that the
// model for file permissions gives to guests is such as +64055:+109.
func qemuUser(models []libvirtxml.CapsHostSecModel) *User {
	for _, m := range models {
		if m.Name != "dac" {
			continue
		}
		for _, label := range m.Labels {
			uid, gid, found := strings.Cut(label.Value, ":")
			u, err := strconv.Atoi(strings.TrimPrefix(uid, "+"))
			g, groupErr := strconv.Atoi(strings.TrimPrefix(gid, "+"))
			if found && err == nil && groupErr == nil {
				return &User{UID: u, GID: g}
			}
		}
	}
	return nil
}
