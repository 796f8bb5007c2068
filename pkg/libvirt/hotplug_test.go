package libvirt

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
)

// q35 is a guest as libvirt 9.0 describes one: a disk behind port 1, a USB
// controller behind port 2, a host's device behind port 3 that is on bus 5 there,
// and ports 4 and 5 with nothing in them.
const q35 = `<domain type='qemu' id='7'>
  <name>g</name><uuid>11111111-1111-4111-8111-111111111111</uuid>
  <metadata><x:owner xmlns:x="https://domus.dev/v1alpha1"><x:address type='pci' bus='0x04'/></x:owner></metadata>
  <devices>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='qcow2'/><source pool='default' volume='ns.data.vd-0123456789ab' index='2'/><target dev='vdb' bus='virtio'/>
      <serial>data</serial><boot order='2'/><alias name='ua-disk-data'/><address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </disk>
    <disk type='volume' device='cdrom'>
      <driver name='qemu'/><target dev='sda' bus='sata'/><readonly/><alias name='ua-disk-cd'/><address type='drive' controller='0' bus='4' target='0' unit='0'/>
    </disk>
    <disk type='file' device='disk'><source file='/overlay'/><target dev='vdc' bus='virtio'/><alias name='ua-disk-x'/></disk>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-root-port'><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></controller>
    <controller type='pci' index='2' model='pcie-root-port'/>
    <controller type='pci' index='3' model='pcie-root-port'/>
    <controller type='pci' index='4' model='pcie-root-port'/>
    <controller type='pci' index='5' model='pcie-root-port'/>
    <controller type='usb' index='0' model='qemu-xhci'><address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></controller>
    <controller type='scsi' index='0' model='lsilogic'/>
    <interface type='hostdev'>
      <source><address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/></source>
      <address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>
    </interface>
  </devices>
</domain>`

func parsed(t *testing.T, doc string) *libvirtxml.Domain {
	t.Helper()
	d := &libvirtxml.Domain{}
	if err := d.Unmarshal(doc); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDisksOfADomain(t *testing.T) {
	want := []Disk{
		{Alias: "ua-disk-data", Target: "vdb", Device: "disk", Bus: "virtio", Serial: "data", BootOrder: 2, Volume: VolumeRef{Pool: "default", Name: "ns.data.vd-0123456789ab"}},
		{Alias: "ua-disk-cd", Target: "sda", Device: "cdrom", Bus: "sata", ReadOnly: true, Empty: true},
		{Alias: "ua-disk-x", Target: "vdc", Device: "disk", Bus: "virtio"},
	}
	if diff := cmp.Diff(want, disksOf(parsed(t, q35))); diff != "" {
		t.Error(diff)
	}
}

func TestWhereDevicesCanBePluggedIn(t *testing.T) {
	for name, test := range map[string]struct {
		doc  string
		want Sockets
	}{
		"free root ports": {q35, Sockets{PCI: 2, USB: true}},
		"slots of a PC, which nobody counts": {`<domain type='qemu'><devices><controller type='pci' index='0' model='pci-root'/>` +
			`<controller type='usb' index='0' model='none'/><controller type='scsi' index='0' model='virtio-scsi'/></devices></domain>`, Sockets{PCI: -1, VirtioSCSI: true}},
		"no devices": {`<domain type='qemu'/>`, Sockets{PCI: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, socketsOf(parsed(t, test.doc), test.doc)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
