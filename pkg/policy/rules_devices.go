package policy

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxVideoKiB bounds each memory of a screen. 64 MiB is libvirt's default for
// QXL; the VM's overhead counts it.
const maxVideoKiB = 64 << 10

var deviceRules = []rule{
	{
		says:  "`devices.videos[].model` has memories of at most 65536 KiB; `driver.name` is qemu",
		why:   "it is host memory beside the guest's; driver vhostuser runs a program of the host",
		check: checkVideos,
	},
	{
		says:  "`devices.inputs[].type` is mouse, keyboard or tablet",
		why:   "passthrough and evdev take the host's devices",
		check: checkInputs,
	},
	{
		says:  "`devices.controllers[].type` is not xenbus",
		why:   "only PC and server machines are offered",
		check: checkControllers,
	},
	{
		says:  "`devices.rngs[].backend.random.device` is /dev/urandom",
		why:   "any other file of the host could be read through it",
		check: checkRNGs,
	},
	{
		says:  "`devices.vSock.cid.auto` is yes",
		why:   "addresses are the host's to share out",
		check: checkVSock,
	},
	{
		says:  "`devices.watchdogs[].action` is reset, shutdown, poweroff, pause, none or inject-nmi",
		why:   "dump writes guest memory to the host's disk",
		check: checkWatchdogs,
	},
}

func checkVideos(s scope) field.ErrorList {
	devices, at := s.devices()
	var errs field.ErrorList
	for i, video := range devices.Videos {
		at := at.Child("videos").Index(i)
		model := at.Child("model")
		errs = append(errs, atMost(model.Child("ram"), video.Model.Ram, maxVideoKiB, "KiB")...)
		errs = append(errs, atMost(model.Child("vRam"), video.Model.VRam, maxVideoKiB, "KiB")...)
		errs = append(errs, atMost(model.Child("vRam64"), video.Model.VRam64, maxVideoKiB, "KiB")...)
		errs = append(errs, atMost(model.Child("vgaMem"), video.Model.VGAMem, maxVideoKiB, "KiB")...)
		if video.Driver != nil {
			errs = append(errs, oneOf(at.Child("driver", "name"), video.Driver.Name, "qemu")...)
		}
	}
	return errs
}

func checkInputs(s scope) field.ErrorList {
	devices, at := s.devices()
	var errs field.ErrorList
	for i, input := range devices.Inputs {
		errs = append(errs, oneOf(at.Child("inputs").Index(i).Child("type"), input.Type, "mouse", "keyboard", "tablet")...)
	}
	return errs
}

func checkControllers(s scope) field.ErrorList {
	devices, at := s.devices()
	var errs field.ErrorList
	for i, controller := range devices.Controllers {
		errs = append(errs, oneOf(at.Child("controllers").Index(i).Child("type"), controller.Type,
			"ccid", "fdc", "ide", "isa", "nvme", "pci", "sata", "scsi", "usb", "virtio-serial")...)
	}
	return errs
}

func checkRNGs(s scope) field.ErrorList {
	devices, at := s.devices()
	var errs field.ErrorList
	for i, rng := range devices.RNGs {
		if rng.Backend == nil || rng.Backend.Random == nil {
			continue
		}
		// Left empty, libvirt takes /dev/urandom too.
		errs = append(errs, oneOf(at.Child("rngs").Index(i).Child("backend", "random", "device"),
			rng.Backend.Random.Device, "/dev/urandom")...)
	}
	return errs
}

func checkVSock(s scope) field.ErrorList {
	devices, at := s.devices()
	if devices.VSock == nil || devices.VSock.CID != nil && devices.VSock.CID.Auto == "yes" {
		return nil
	}
	return field.ErrorList{field.Required(at.Child("vSock", "cid", "auto"), `must be "yes": libvirt chooses the address`)}
}

func checkWatchdogs(s scope) field.ErrorList {
	devices, at := s.devices()
	var errs field.ErrorList
	for i, watchdog := range devices.Watchdogs {
		errs = append(errs, oneOf(at.Child("watchdogs").Index(i).Child("action"), watchdog.Action,
			"reset", "shutdown", "poweroff", "pause", "none", "inject-nmi")...)
	}
	return errs
}
