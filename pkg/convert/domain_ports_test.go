package convert

import (
	"testing"

	"libvirt.org/go/libvirtxml"
)

func TestRootPorts(t *testing.T) {
	virtio := func(n int) []libvirtxml.DomainDisk {
		out := make([]libvirtxml.DomainDisk, n)
		for i := range out {
			out[i].Target = &libvirtxml.DomainDiskTarget{Bus: "virtio"}
		}
		return out
	}
	scsi := libvirtxml.DomainDisk{Target: &libvirtxml.DomainDiskTarget{Bus: "scsi"}}
	for name, test := range map[string]struct {
		machine string
		devices libvirtxml.DomainDeviceList
		want    int
	}{
		"a machine of libvirt's choice has slots": {},
		"pc has slots": {machine: "pc"},
		"q35 has one for each device, and to spare":  {machine: "q35", devices: libvirtxml.DomainDeviceList{Disks: virtio(2), Interfaces: make([]libvirtxml.DomainInterface, 1)}, want: ownDevices + 3 + sparePorts},
		"disks on SCSI have one controller":          {machine: "pc-q35-7.2", devices: libvirtxml.DomainDeviceList{Disks: []libvirtxml.DomainDisk{scsi, scsi}}, want: ownDevices + 1 + sparePorts},
		"one whose user has listed ports has those":  {machine: "q35", devices: libvirtxml.DomainDeviceList{Controllers: []libvirtxml.DomainController{{Type: "pci", Model: "pcie-root-port"}}}},
		"other controllers of the user's take ports": {machine: "q35", devices: libvirtxml.DomainDeviceList{Controllers: []libvirtxml.DomainController{{Type: "virtio-serial"}}}, want: ownDevices + 1 + sparePorts},
	} {
		t.Run(name, func(t *testing.T) {
			d := &libvirtxml.Domain{Devices: &test.devices, OS: &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Machine: test.machine}}}
			before := len(test.devices.Controllers)
			setPorts(d)
			added := d.Devices.Controllers[before:]
			if len(added) != test.want {
				t.Errorf("%d ports, want %d", len(added), test.want)
			}
			for i, c := range added {
				if c.Type != "pci" || c.Model != "pcie-root-port" || *c.Index != uint(i)+1 {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}
