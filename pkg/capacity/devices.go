package capacity

import (
	"cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Devices counts what QEMU takes host memory for beside vCPUs and guest memory.
type Devices struct {
	// Disks, Interfaces and IOThreads are numbers of them.
	Disks, Interfaces, IOThreads int
	// DiskTables is the most that disks keep of their images' tables, in bytes.
	DiskTables int64
	// Graphics is the number of VNC, SPICE and other servers.
	Graphics int
	// VideoMemory is the sum of the screens' memories in bytes.
	VideoMemory int64
	// SharedMemory is the sum of shared memory devices in bytes.
	SharedMemory int64
	// HostDevices is the number of devices of the host that read and write guest
	// memory by themselves, through VFIO or vDPA.
	HostDevices int
	// Filesystems and TPMs are numbers of host directories and of emulated TPMs,
	// each served by a process of its own.
	Filesystems, TPMs int
	// Others is the number of all other devices that are named.
	Others int
	// EFI says whether the guest boots with it: its flash is host memory.
	EFI bool
	// TranslationCache is the most that the emulator keeps of translated guest
	// code, in bytes; 0 where the CPU itself runs it.
	TranslationCache int64
}

// TranslationCache is what the emulator gets for translated guest code, in
// bytes, where a domain does not say it. QEMU's own default is up to 1 GiB.
const TranslationCache = 32 << 20

const (
	// tablesMemory is QEMU's bound for what it keeps of the tables of a qcow2
	// image, and enough for one of 256 GiB. The image's size is not known here.
	tablesMemory = 32 << 20
	// qxlMemory is libvirt's default for each of the two memories of a QXL
	// screen, and screenMemory for the one of others.
	qxlMemory    = 64 << 20
	screenMemory = 16 << 20
	// virtioMemory is for the images behind a virtio screen, which QEMU keeps:
	// two of 4 million pixels.
	virtioMemory = 32 << 20
	// mostScreens bounds a sum; no device has as many.
	mostScreens = 64
)

// DevicesOf counts the devices of a VM: those in spec.domain, its VirtualDisks, its cards,
// and the host devices it asks for. A domain that cannot be read counts as empty; its host
// says what is wrong with it. One that does not say kvm may come to be emulated.
func DevicesOf(spec *v1alpha1.VirtualMachineSpec) Devices {
	d := readDomain(spec).devices()
	d.Disks += len(spec.Disks)
	d.Interfaces += len(spec.Interfaces)
	// Their volumes may be qcow2, and of any size.
	d.DiskTables += int64(len(spec.Disks)) * tablesMemory
	for i := range spec.Resources.Devices {
		// The API server alone sets the schema's default.
		d.HostDevices += int(max(spec.Resources.Devices[i].Count, 1))
	}
	return d
}

func (g *domain) devices() Devices {
	in := &g.Devices
	d := Devices{
		Disks:       len(in.Disks),
		Interfaces:  len(in.Interfaces),
		IOThreads:   int(min(g.IOThreads, mostThreads)),
		Graphics:    len(in.Graphics),
		VideoMemory: g.videoMemory(),
		Filesystems: len(in.Filesystems),
		EFI:         g.OS.Firmware == "efi" || g.OS.Loader.Type == "pflash",
		Others: len(in.Controllers) + len(in.Serials) + len(in.Parallels) + len(in.Consoles) + len(in.Channels) +
			len(in.Inputs) + len(in.Sounds) + len(in.RNGs) + len(in.Watchdogs) + len(in.RedirDevs) + len(in.Smartcards) +
			len(in.Crypto),
	}
	for i := range in.Disks {
		disk := &in.Disks[i]
		if disk.Driver.Type == "qcow2" {
			most := disk.Driver.MetadataCache.MaxSize
			d.DiskTables += bytes(most.Value, most.Unit, tablesMemory)
		}
		if disk.Source.NVME != nil || disk.Source.VHostVDPA != nil {
			d.HostDevices++
		}
	}
	for i := range in.Interfaces {
		if source := &in.Interfaces[i].Source; source.Hostdev != nil || source.VDPA != nil {
			d.HostDevices++
		}
	}
	for i := range in.Hostdevs {
		if in.Hostdevs[i].SubsysPCI != nil || in.Hostdevs[i].SubsysMDev != nil {
			d.HostDevices++
		} else {
			d.Others++
		}
	}
	for i := range in.TPMs {
		if in.TPMs[i].Backend.Emulator != nil {
			d.TPMs++
		}
	}
	for i := range in.Shmems {
		d.SharedMemory += bytes(in.Shmems[i].Size.Value, in.Shmems[i].Size.Unit, 0)
	}
	if g.Type != "kvm" {
		cache := &g.Features.TCG.TBCache
		d.TranslationCache = bytes(cache.Size, cmp.Or(cache.Unit, "KiB"), TranslationCache)
	}
	return d
}

// videoMemory is what the guest can write into as its screens. libvirt adds a
// plain one where there are graphics and no screen is named.
func (g *domain) videoMemory() int64 {
	if len(g.Devices.Videos) == 0 && len(g.Devices.Graphics) > 0 {
		return screenMemory
	}
	var sum int64
	for i := range g.Devices.Videos {
		model := &g.Devices.Videos[i].Model
		switch model.Type {
		case "none":
		case "qxl":
			// The 64-bit memory begins with the 32-bit one.
			vram := bytes(model.VRAM, "KiB", qxlMemory)
			sum += bytes(model.RAM, "KiB", qxlMemory) + max(vram, bytes(model.VRAM64, "KiB", vram))
		case "virtio":
			sum += virtioMemory * min(max(model.Heads, 1), mostScreens)
		default:
			sum += bytes(model.VRAM, "KiB", screenMemory)
		}
	}
	return sum
}
