package policy_test

// allowed are domains that pass at level restricted in the namespace demo.
var allowed = map[string]string{
	"no domain at all": ``,
	"an empty domain":  `{}`,
	"a usual guest": `
type: kvm
title: web server
genID: {value: 43dc0cf8-809b-4adb-9bea-a9abb5f3d90e}
ioThreads: 2
os:
  type: {type: hvm, arch: x86_64, machine: q35}
  firmware: efi
  loader: {secure: "yes"}
  bootDevices: [{dev: hd}]
  bootMenu: {enable: "yes"}
  smBios: {mode: sysinfo}
sysInfo:
- smbios: {system: {entry: [{name: serial, value: "ds=nocloud"}]}}
cpu: {mode: host-passthrough, topology: {sockets: 1, cores: 2, threads: 1}, features: [{name: vmx, policy: disable}]}
clock: {offset: utc, timer: [{name: hpet, present: "no"}]}
features: {acpi: true, apic: {}, ioapic: {driver: qemu}, hyperV: {relaxed: {state: "on"}}, smm: {state: "on"}}
pm: {suspendToMem: {enabled: "no"}}
onPoweroff: destroy
onReboot: restart
onCrash: preserve
devices:
  disks:
  - device: disk
    driver: {name: qemu, type: qcow2, cache: none, discard: unmap}
    source: {volume: {pool: default, volume: demo.web.qcow2}}
    target: {dev: vda, bus: virtio}
    ioTune: {totalIopsSec: 500}
    serial: "000123"
  - device: cdrom
    target: {dev: sda, bus: sata}
    readOnly: true
  - device: cdrom
    driver: {type: raw}
    source: {volume: {pool: default, volume: demo.install.iso}, startupPolicy: optional}
    target: {dev: sdb, bus: sata}
    shareable: true
    transient: {}
  interfaces:
  - source: {network: {network: default}}
    model: {type: virtio}
    mac: {address: "52:54:00:12:34:56"}
    driver: {name: vhost, queues: 4}
  - source: {user: {}}
  serials: [{source: {pty: {}}}]
  consoles: [{source: {pty: {}}, target: {type: virtio}}]
  channels:
  - source: {unix: {}}
    target: {virtIO: {name: org.qemu.guest_agent.0}}
  - source: {spiceVMC: true}
    target: {virtIO: {name: com.redhat.spice.0}}
  graphics:
  - vnc: {port: -1, autoPort: "yes", keymap: en-us, listeners: [{address: {address: 127.0.0.1}}]}
  - spice: {listeners: [{}]}
  videos: [{model: {type: qxl, vRam: 65536, ram: 65536}}]
  inputs: [{type: tablet, bus: usb}]
  controllers: [{type: usb, model: qemu-xhci}, {type: pci, model: pcie-root-port}]
  memBalloon: {model: virtio, stats: {period: 10}}
  rngs: [{model: virtio, backend: {random: {device: /dev/urandom}}}, {model: virtio, backend: {builtIn: true}}]
  tpms: [{model: tpm-crb, backend: {emulator: {version: "2.0"}}}]
  sounds: [{model: ich9}]
  watchdogs: [{model: i6300esb, action: reset}]
  panics: [{model: isa}]
  iommus: [{model: intel, driver: {intRemap: "on"}}]
  vSock: {model: virtio, cid: {auto: "yes"}}
`,
}

type refusal struct {
	domain string
	want   []string
}

// refused are domains that are refused at level restricted in the namespace
// demo, and pass at level privileged.
var refused = map[string]refusal{
	"a disk on a path": {
		`devices: {disks: [{device: disk, driver: {type: raw}, source: {file: {file: /etc/shadow}}}]}`,
		[]string{"spec.domain.devices.disks[0].source.file: Forbidden: not allowed at policy level restricted"},
	},
	"a disk on a device, with raw SCSI": {
		`devices: {disks: [{device: lun, rawIO: "yes", sgio: unfiltered, driver: {type: raw}, source: {block: {dev: /dev/sda}}}]}`,
		[]string{
			"spec.domain.devices.disks[0].rawIO: Forbidden",
			"spec.domain.devices.disks[0].sgio: Forbidden",
			"spec.domain.devices.disks[0].source.block: Forbidden",
			`spec.domain.devices.disks[0].device: Invalid value: "lun": must be disk, cdrom or floppy`,
		},
	},
	"another namespace's volume": {
		`devices: {disks: [{driver: {type: raw}, source: {volume: {pool: default, volume: other.disk}}}]}`,
		[]string{`spec.domain.devices.disks[0].source.volume.volume: Invalid value: "other.disk": must begin with "demo.", for volumes belong to the namespace before their first dot`},
	},
	"a namespace that begins alike": {
		`devices: {disks: [{driver: {type: raw}, source: {volume: {pool: default, volume: demo-2.disk}}}]}`,
		[]string{`spec.domain.devices.disks[0].source.volume.volume: Invalid value: "demo-2.disk"`},
	},
	"a volume of no name": {
		`devices: {disks: [{driver: {type: raw}, source: {volume: {pool: default, volume: demo.}}}]}`,
		[]string{`spec.domain.devices.disks[0].source.volume.volume: Invalid value: "demo."`},
	},
	"a volume that is a path": {
		`devices: {disks: [{driver: {type: raw}, source: {volume: {pool: default, volume: demo.x/../y}}}]}`,
		[]string{`spec.domain.devices.disks[0].source.volume.volume: Invalid value: "demo.x/../y": must be a name without slashes`},
	},
	"a format to be guessed": {
		`devices: {disks: [{source: {volume: {pool: default, volume: demo.a}}}, {driver: {cache: none}, source: {volume: {pool: default, volume: demo.b}}}]}`,
		[]string{
			"spec.domain.devices.disks[0].driver.type: Required value: say qcow2 or raw",
			"spec.domain.devices.disks[1].driver.type: Required value: say qcow2 or raw",
		},
	},
	"a format that names other files": {
		`devices: {disks: [{driver: {type: vmdk}, source: {volume: {pool: default, volume: demo.a}}}]}`,
		[]string{`spec.domain.devices.disks[0].driver.type: Invalid value: "vmdk": must be qcow2 or raw`},
	},
	"a backing chain, a mirror and a secret": {
		`devices: {disks: [{driver: {type: raw}, source: {volume: {pool: p, volume: demo.a}, encryption: {format: luks}}, backingStore: {source: {file: {file: /x}}}, mirror: {source: {file: {file: /x}}}}]}`,
		[]string{
			"spec.domain.devices.disks[0].source.encryption: Forbidden",
			"spec.domain.devices.disks[0].backingStore: Forbidden",
			"spec.domain.devices.disks[0].mirror: Forbidden",
		},
	},
	"a disk of nothing": {
		`devices: {disks: [{device: disk, target: {dev: vda}}]}`,
		[]string{"spec.domain.devices.disks[0].source: Required value: name a volume"},
	},
	"a volume of no pool": {
		`devices: {disks: [{driver: {type: raw}, source: {volume: {volume: demo.a}}}]}`,
		[]string{"spec.domain.devices.disks[0].source.volume.pool: Required value"},
	},
	"a bridge of the host": {
		`devices: {interfaces: [{source: {bridge: {bridge: br0}}}]}`,
		[]string{"spec.domain.devices.interfaces[0].source.bridge: Forbidden"},
	},
	"scripts, ports, ROMs and names of host devices": {
		`devices: {interfaces: [{source: {user: {}}, portForward: [{proto: tcp}], script: {path: /x}, target: {dev: tap0}, backend: {vHost: /dev/x}, rom: {file: /x}}]}`,
		[]string{
			"spec.domain.devices.interfaces[0].portForward[0]: Forbidden",
			"spec.domain.devices.interfaces[0].script: Forbidden",
			"spec.domain.devices.interfaces[0].target: Forbidden",
			"spec.domain.devices.interfaces[0].backend: Forbidden",
			"spec.domain.devices.interfaces[0].rom.file: Forbidden",
		},
	},
	"a network of no name": {
		`devices: {interfaces: [{source: {network: {portGroup: x}}}]}`,
		[]string{"spec.domain.devices.interfaces[0].source.network.network: Required value"},
	},
	"serial ports on files and sockets, and logs": {
		`devices: {serials: [{source: {file: {path: /x}}}, {source: {pty: {path: /dev/pts/1}}, log: {file: /x}}], consoles: [{source: {tcp: {host: h, service: "1"}}}]}`,
		[]string{
			"spec.domain.devices.serials[0].source.file: Forbidden",
			"spec.domain.devices.serials[1].source.pty.path: Forbidden",
			"spec.domain.devices.serials[1].log: Forbidden",
			"spec.domain.devices.consoles[0].source.tcp: Forbidden",
		},
	},
	"channels on sockets of the host": {
		`devices: {channels: [{source: {unix: {mode: connect, path: /run/x}}, target: {virtIO: {name: org.qemu.guest_agent.0}}}, {source: {unix: {}}, target: {virtIO: {name: mine}}}]}`,
		[]string{
			"spec.domain.devices.channels[0].source.unix.path: Forbidden",
			`spec.domain.devices.channels[0].source.unix.mode: Invalid value: "connect": must be bind`,
			`spec.domain.devices.channels[1].target.virtIO.name: Invalid value: "mine": must be org.qemu.guest_agent.0`,
		},
	},
	"graphics for everyone": {
		`devices: {graphics: [{vnc: {listen: 0.0.0.0, port: 5900, keymap: ../../etc/passwd}}, {vnc: {socket: /run/x, listeners: [{address: {address: "::"}}, {network: {network: lan}}]}}, {spice: {gl: {renderNode: /dev/dri/renderD128}}}, {sdl: {}}]}`,
		[]string{
			"spec.domain.devices.graphics[1].vnc.socket: Forbidden",
			"spec.domain.devices.graphics[1].vnc.listeners[1].network: Forbidden",
			"spec.domain.devices.graphics[2].spice.gl: Forbidden",
			"spec.domain.devices.graphics[3].sdl: Forbidden",
			`spec.domain.devices.graphics[0].vnc.listen: Invalid value: "0.0.0.0": must be 127.0.0.1, ::1 or localhost`,
			`spec.domain.devices.graphics[1].vnc.listeners[0].address.address: Invalid value: "::"`,
			"spec.domain.devices.graphics[0].vnc.port: Invalid value: 5900: must be -1",
			"spec.domain.devices.graphics[0].vnc.keymap: Invalid value",
		},
	},
	"devices of the host": {
		`devices: {hostdevs: [{subsysUSB: {}}], filesystems: [{source: {mount: {dir: /}}}], inputs: [{type: evdev, source: {evDev: {dev: /dev/input/event1}}}], rngs: [{backend: {random: {device: /dev/mem}}}], tpms: [{backend: {passthrough: {device: {path: /dev/tpm0}}}}], shmems: [{name: x}], emulator: /bin/sh}`,
		[]string{
			"spec.domain.devices.emulator: Forbidden",
			"spec.domain.devices.filesystems[0]: Forbidden",
			"spec.domain.devices.inputs[0].source: Forbidden",
			"spec.domain.devices.tpms[0].backend.passthrough: Forbidden",
			"spec.domain.devices.hostdevs[0]: Forbidden",
			"spec.domain.devices.shmems[0]: Forbidden",
			`spec.domain.devices.inputs[0].type: Invalid value: "evdev": must be mouse, keyboard or tablet`,
			`spec.domain.devices.rngs[0].backend.random.device: Invalid value: "/dev/mem": must be /dev/urandom`,
		},
	},
	"host memory and threads beside what is granted": {
		`{ioThreads: 64, features: {tcg: {tbCache: {size: 4, unit: GiB}}}, devices: {videos: [{model: {type: qxl, ram: 4194304}}]}, memoryBacking: {memoryLocked: true}}`,
		[]string{
			"spec.domain.memoryBacking.memoryLocked: Forbidden",
			"spec.domain.features.tcg: Forbidden",
			"spec.domain.ioThreads: Invalid value: 64: must be at most 16",
			"spec.domain.devices.videos[0].model.ram: Invalid value: 4194304: must be at most 65536 KiB",
		},
	},
	"kernels, firmware and other files of the host": {
		`{os: {kernel: /boot/vmlinuz, cmdline: x, loader: {path: /x}, nvRam: {nvRam: /x}, firmware: efi}, sysInfo: [{fwCfg: {entry: [{name: opt/x, file: /etc/shadow}]}}]}`,
		[]string{
			"spec.domain.sysInfo[0].fwCfg.entry[0].file: Forbidden",
			"spec.domain.os.loader.path: Forbidden",
			"spec.domain.os.nvRam: Forbidden",
			"spec.domain.os.kernel: Forbidden",
			"spec.domain.os.cmdline: Forbidden",
		},
	},
	"programs and raw arguments": {
		`{type: lxc, os: {type: {type: exe}, init: /bin/sh}, qemuCommandline: {args: [{value: -x}]}}`,
		[]string{
			"spec.domain.os.init: Forbidden",
			"spec.domain.qemuCommandline: Forbidden",
			`spec.domain.type: Invalid value: "lxc": must be kvm, qemu or test`,
			`spec.domain.os.type.type: Invalid value: "exe": must be hvm`,
		},
	},
	"guest memory on the host's disk": {
		`{onCrash: coredump-destroy, devices: {watchdogs: [{model: itco, action: dump}]}}`,
		[]string{
			`spec.domain.onCrash: Invalid value: "coredump-destroy": must be destroy, restart or preserve`,
			`spec.domain.devices.watchdogs[0].action: Invalid value: "dump"`,
		},
	},
	"security labels and cgroups": {
		`{secLabel: [{type: none}], resource: {partition: /x}, blockIOTune: {weight: 1000}, keyWrap: {}, launchSecurity: {s390PV: true}, perf: {}}`,
		[]string{
			"spec.domain.blockIOTune: Forbidden",
			"spec.domain.resource: Forbidden",
			"spec.domain.perf: Forbidden",
			"spec.domain.secLabel[0]: Forbidden",
			"spec.domain.keyWrap: Forbidden",
			"spec.domain.launchSecurity: Forbidden",
		},
	},
	"the host's serial numbers": {
		`{os: {smBios: {mode: host}}}`,
		[]string{`spec.domain.os.smBios.mode: Invalid value: "host": must be emulate or sysinfo`},
	},
	"a fixed address to the host": {
		`{devices: {vSock: {cid: {auto: "no", address: "3"}}}}`,
		[]string{"spec.domain.devices.vSock.cid.address: Forbidden", "spec.domain.devices.vSock.cid.auto: Required value"},
	},
}

// owned are domains that are refused at every level.
var owned = map[string]refusal{
	"the domain's identity": {
		`{id: 0, name: x, uuid: 6c61d5f2-6f3e-4d2b-9a55-0d1d1c6c9a01, metadata: {xml: <x/>}}`,
		[]string{
			"spec.domain.id: Forbidden: is not the user's to set",
			"spec.domain.name: Forbidden: is not the user's to set: the domain is named after",
			"spec.domain.uuid: Forbidden: is not the user's to set: set spec.uuid",
			"spec.domain.metadata: Forbidden: is not the user's to set",
		},
	},
	"its size": {
		`{maximumMemory: {value: 1}, memory: {value: 1}, currentMemory: {value: 1}, memoryTune: {}, memoryBacking: {memoryHugePages: {}, memoryNosharepages: true}, vcpu: {value: 0}, vcpus: {}, devices: {memorydevs: [{model: dimm}]}}`,
		[]string{
			"spec.domain.maximumMemory: Forbidden: is not the user's to set: set spec.resources.memory",
			"spec.domain.memory: Forbidden: is not the user's to set: set spec.resources.memory",
			"spec.domain.currentMemory: Forbidden: is not the user's to set: set spec.resources.memory",
			"spec.domain.memoryTune: Forbidden",
			"spec.domain.memoryBacking.memoryHugePages: Forbidden: is not the user's to set: set spec.resources.hugepages.pageSize",
			"spec.domain.vcpu: Forbidden: is not the user's to set: set spec.resources.cpu",
			"spec.domain.vcpus: Forbidden: is not the user's to set: set spec.resources.cpu",
			"spec.domain.devices.memorydevs[0]: Forbidden",
		},
	},
	"its place on the host": {
		`{cpuTune: {ioThreadPin: [{ioThread: 1, cpuSet: "0"}]}, numaTune: {memory: {nodeset: "0"}}, cpu: {mode: host-model, numa: {cell: [{memory: 1}]}}}`,
		[]string{
			"spec.domain.cpuTune: Forbidden: is not the user's to set: the placement decides",
			"spec.domain.numaTune: Forbidden: is not the user's to set: the placement decides",
			"spec.domain.cpu.numa: Forbidden: is not the user's to set: the placement decides",
		},
	},
	"what cannot be read": {
		`{devices: {disks: {}, vsock: {}}}`,
		[]string{
			"spec.domain.devices.disks: Invalid value: must be a list",
			`spec.domain.devices.vsock: Invalid value: unknown key: did you mean "vSock"?`,
		},
	},
	"what the XML cannot say": {
		`{devices: {controllers: [{type: scsi, usb: {port: 4}}]}}`,
		[]string{"spec.domain.devices.controllers[0].usb: Invalid value: has no place in libvirt's XML here"},
	},
}
