package policy

// Keys that many devices share: where the guest finds them. acpi.nodeset is
// left out, for cells are the placement's.
const (
	place  = "alias.name address.** acpi.index "
	virtio = "driver.iommu driver.ats driver.packed driver.pagePerVQ "
)

// restrictedDevices is what restricted allows of devices. A kind of device
// that is not here (hostdevs, filesystems, redirdevs, shmems, ...) is refused.
var restrictedDevices = []entry{
	{"devices.disks[]", "source.volume.pool source.volume.volume source.startupPolicy",
		"volumes of the namespace only, by name; never a path, a device, the network or a backing chain"},
	{"devices.disks[]", virtio + "driver.name driver.type driver.cache driver.errorPolicy driver.rErrorPolicy driver.io driver.ioEventFD driver.eventIDX driver.copyOnRead driver.discard driver.discardNoUnref driver.detectZeros driver.ioThread driver.queues driver.queueSize driver.statistics.statistic[].interval",
		"how the emulator does I/O; the size of its caches is refused, it takes host memory"},
	{"devices.disks[]", place + "device model snapshot serial wwn vendor product boot.order boot.loadParm target.dev target.bus target.tray target.removable target.rotationRate target.dpofua readOnly shareable transient.shareBacking",
		"the disk the guest sees"},
	{"devices.disks[]", "geometry.** blockIO.** ioTune.**",
		"the disk the guest sees, and limits on it"},
	{"devices.interfaces[]", "source.network.network source.network.portGroup source.user.**",
		"a libvirt network that the host's administrator defined, or the emulator's own NAT; never a bridge, a device or a socket"},
	{"devices.interfaces[]", place + "mac.address model.type boot.order boot.loadParm link.state mtu.size portOptions.isolated coalesce.rx.frames.max rom.bar rom.enabled",
		"the card the guest sees; no ROM files, scripts, VLANs or virtual ports"},
	{"devices.interfaces[]", virtio + "driver.name driver.txMode driver.ioEventFD driver.eventIDX driver.queues driver.rxQueueSize driver.txQueueSize driver.rss driver.rssHashReport driver.host.** driver.guest.**",
		"how packets are moved"},
	{"devices.interfaces[]", "bandwidth.inbound.average bandwidth.inbound.peak bandwidth.inbound.burst bandwidth.outbound.average bandwidth.outbound.peak bandwidth.outbound.burst",
		"limits; a floor is refused, it takes from others"},
	{"devices.controllers[]", place + virtio + "type index model driver.queues driver.cmdPerLUN driver.maxSectors driver.ioEventFD driver.ioThread pci.** usb.** virtIOSerial.** nvme.**",
		"buses inside the guest"},
	{"devices.serials[]", place + "source.pty source.null target.type target.port target.model.name",
		"a terminal that libvirt allocates; no paths, logs, sockets or programs"},
	{"devices.consoles[]", place + "source.pty source.null target.type target.port",
		"a terminal that libvirt allocates; no paths, logs, sockets or programs"},
	{"devices.channels[]", place + "source.unix.mode source.spiceVMC target.virtIO.name",
		"the guest agent's and SPICE's channels, on sockets that libvirt allocates"},
	{"devices.graphics[]", "vnc.port vnc.autoPort vnc.webSocket vnc.keymap vnc.sharePolicy vnc.passwd vnc.passwdValidTo vnc.powerControl vnc.listen vnc.listeners[].address.address audio.id",
		"a console on the host's loopback, at a port that libvirt chooses"},
	{"devices.graphics[]", "spice.port spice.tlsPort spice.autoPort spice.keymap spice.defaultMode spice.passwd spice.passwdValidTo spice.listen spice.listeners[].address.address spice.channel[].** spice.image.** spice.jpeg.** spice.zLib.** spice.playback.** spice.streaming.** spice.mouse.** spice.clipBoard.** spice.fileTransfer.**",
		"likewise; no OpenGL, which opens the host's GPU"},
	{"devices.videos[]", place + virtio + "driver.name driver.vgaConf model.type model.heads model.ram model.vRam model.vRam64 model.vgaMem model.primary model.edid model.resolution.x model.resolution.y",
		"a screen; no acceleration, which opens the host's GPU"},
	{"devices.inputs[]", place + virtio + "type bus model",
		"emulated mice, keyboards and tablets; never the host's"},
	{"devices.sounds[]", place + virtio + "model multiChannel streams codec[].type audio.id",
		"a sound card"},
	{"devices.audios[]", "id timerPeriod none.** spice.**",
		"where sound goes: nowhere, or to SPICE; never to the host's devices or files"},
	{"devices.hubs[]", place + "type",
		"buses inside the guest"},
	{"devices.watchdogs[]", place + "model action",
		"a timer in the guest; dumping its core is refused, it fills the host's disk"},
	{"devices.memBalloon", place + virtio + "model autoDeflate freePageReporting stats.period",
		"gives memory back to the host"},
	{"devices.rngs[]", place + virtio + "model rate.bytes rate.period backend.random.device backend.builtIn",
		"random numbers from /dev/urandom or the emulator"},
	{"devices.tpms[]", place + "model backend.emulator.version backend.emulator.persistentState backend.emulator.activePCRBanks.**",
		"an emulated TPM, its state where libvirt keeps it"},
	{"devices.panics[]", place + "model",
		"how a guest says it crashed"},
	{"devices.iommus[]", place + "model driver.**",
		"an IOMMU for the guest's own devices"},
	{"devices.vSock", place + virtio + "model cid.auto",
		"a socket to the host with an address that libvirt chooses"},
}
