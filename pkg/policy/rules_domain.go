package policy

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxIOThreads bounds the threads a domain adds on the host.
const maxIOThreads = 16

var domainRules = []rule{
	{
		says: "`type` is kvm, qemu or test",
		why:  "other types are not virtual machines of this kind of host: lxc runs programs of the host",
		check: func(s scope) field.ErrorList {
			return oneOf(s.at.Child("type"), s.domain.Type, "kvm", "qemu", "test")
		},
	},
	{
		says: "`ioThreads` is at most 16",
		why:  "each is a thread of the host",
		check: func(s scope) field.ErrorList {
			return atMost(s.at.Child("ioThreads"), s.domain.IOThreads, maxIOThreads, "")
		},
	},
	{
		says: "`onPoweroff`, `onReboot` and `onCrash` are destroy, restart or preserve",
		why:  "the coredump actions write guest memory to the host's disk",
		check: func(s scope) field.ErrorList {
			actions := []string{"destroy", "restart", "preserve"}
			errs := oneOf(s.at.Child("onPoweroff"), s.domain.OnPoweroff, actions...)
			errs = append(errs, oneOf(s.at.Child("onReboot"), s.domain.OnReboot, actions...)...)
			return append(errs, oneOf(s.at.Child("onCrash"), s.domain.OnCrash, actions...)...)
		},
	},
	{
		says:  "`os.type.type` is hvm; `os.firmware` is bios or efi; `os.smBios.mode` is emulate or sysinfo",
		why:   "exe and linux run programs of the host; SMBIOS mode host shows the host's serial numbers",
		check: checkOS,
	},
}

func checkOS(s scope) field.ErrorList {
	os, at := s.domain.OS, s.at.Child("os")
	if os == nil {
		return nil
	}
	errs := oneOf(at.Child("firmware"), os.Firmware, "bios", "efi")
	if os.Type != nil {
		errs = append(errs, oneOf(at.Child("type", "type"), os.Type.Type, "hvm")...)
	}
	if os.SMBios != nil {
		errs = append(errs, oneOf(at.Child("smBios", "mode"), os.SMBios.Mode, "emulate", "sysinfo")...)
	}
	return errs
}
