package intake

import (
	"strings"
)

// firmware has libvirt choose EFI firmware from what the host has, where the
// domain named the files of another host.
func (s *state) firmware() {
	os := s.domain.OS
	if !s.restricted() || os == nil {
		return
	}
	if os.Loader != nil && os.Loader.Path != "" && (os.Firmware == "efi" || isEFI(os.Loader.Path)) {
		os.Firmware = "efi"
		s.changed(at("os", "loader"), "became os.firmware: efi", "firmware is chosen by libvirt from what the host has, never by path")
		os.Loader.Path, os.Loader.Type, os.Loader.Readonly, os.Loader.Format = "", "", "", ""
		if os.Loader.Secure == "" && os.Loader.Stateless == "" {
			os.Loader = nil
		}
	}
	if os.NVRam != nil && os.Firmware == "efi" {
		s.changed(at("os", "nvRam"), "removed", "the host makes a new one: boot entries that the guest stored there are lost, and it boots from the path for removable media or the boot order of its devices")
		os.NVRam = nil
	}
	if os.FirmwareInfo != nil && len(os.FirmwareInfo.Features) == 0 {
		os.FirmwareInfo = nil
	}
}

// isEFI knows the builds of EDK II that distributions ship by their names.
func isEFI(path string) bool {
	name := strings.ToLower(path)
	for _, part := range []string{"ovmf", "aavmf", "edk2", "qemu_efi", "qemu-efi"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
