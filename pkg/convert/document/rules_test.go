package document_test

import (
	"testing"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

func TestWhatLibvirtReadsAsTheSame(t *testing.T) {
	devices := func(inner string) string { return "<domain><devices>" + inner + "</devices></domain>" }
	tests := map[string]struct {
		first, second string
		same          bool
	}{
		"a PCI address": {
			devices(`<disk><address type='pci' domain='0x0000' bus='0x00' slot='0x0A' function='0x0'/></disk>`),
			devices(`<disk><address type='pci' domain='0' bus='0x0' slot='10' function='0'/></disk>`), true,
		},
		"another PCI address": {
			devices(`<disk><address type='pci' slot='0x10'/></disk>`), devices(`<disk><address type='pci' slot='10'/></disk>`), false,
		},
		"a USB port is no number": {
			devices(`<input><address type='usb' bus='0' port='1.20'/></input>`), devices(`<input><address type='usb' bus='0' port='1.2'/></input>`), false,
		},
		"nor is a USB port of one digit": {
			devices(`<input><address type='usb' bus='0' port='01'/></input>`), devices(`<input><address type='usb' bus='0' port='1'/></input>`), false,
		},
		"the port of a channel": {
			devices(`<channel><address type='virtio-serial' port='0x1'/></channel>`), devices(`<channel><address type='virtio-serial' port='1'/></channel>`), true,
		},
		"a serial":      {devices(`<disk><serial>000123</serial></disk>`), devices(`<disk><serial>123</serial></disk>`), false},
		"a hex serial":  {devices(`<disk><serial>0x0A</serial></disk>`), devices(`<disk><serial>10</serial></disk>`), false},
		"a MAC address": {devices(`<interface><mac address='52:54:00:00:00:01'/></interface>`), devices(`<interface><mac address='52:54:00:00:00:1'/></interface>`), false},
		"a WWN":         {devices(`<disk><wwn>0000000000000001</wwn></disk>`), devices(`<disk><wwn>1</wwn></disk>`), false},
		"the UUID":      {`<domain><uuid>00000000000000000000000000000001</uuid></domain>`, `<domain><uuid>1</uuid></domain>`, false},
		"the name":      {`<domain><name>007</name></domain>`, `<domain><name>7</name></domain>`, false},
		"virtual CPUs":  {`<domain><vcpu>04</vcpu></domain>`, `<domain><vcpu>4</vcpu></domain>`, true},
		"memory":        {`<domain><memory unit='GiB'>2</memory></domain>`, `<domain><memory>2097152</memory></domain>`, true},
		"more memory":   {`<domain><memory unit='GiB'>2</memory></domain>`, `<domain><memory unit='MiB'>2</memory></domain>`, false},
		"a cell":        {`<domain><cpu><numa><cell id='0' memory='1' unit='GiB'/></numa></cpu></domain>`, `<domain><cpu><numa><cell id='0' memory='1048576' unit='KiB'/></numa></cpu></domain>`, true},
		"a volume":      {`<volume><capacity unit='G'>1</capacity></volume>`, `<volume><capacity>1073741824</capacity></volume>`, true},
		"two ends of UDP": {
			devices(`<channel type='udp'><source mode='bind' service='1'/><source mode='connect' service='2'/></channel>`),
			devices(`<channel type='udp'><source mode='connect' service='2'/><source mode='bind' service='1'/></channel>`), true,
		},
		"two ends of TCP, of which the last counts": {
			devices(`<channel type='tcp'><source mode='bind' service='1'/><source mode='connect' service='2'/></channel>`),
			devices(`<channel type='tcp'><source mode='connect' service='2'/><source mode='bind' service='1'/></channel>`), false,
		},
		"disks in another order":     {devices(`<disk device='disk'/><disk device='cdrom'/>`), devices(`<disk device='cdrom'/><disk device='disk'/>`), false},
		"kinds in another order":     {devices(`<disk/><interface/>`), devices(`<interface/><disk/>`), true},
		"metadata in another order":  {`<domain><metadata><a/><b/></metadata></domain>`, `<domain><metadata><b/><a/></metadata></domain>`, false},
		"a snapshot's domain's name": {`<domainsnapshot><domain><name>007</name></domain></domainsnapshot>`, `<domainsnapshot><domain><name>7</name></domain></domainsnapshot>`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			first, err := xmldoc.Parse("", []byte(test.first), xmldoc.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			second, err := xmldoc.Parse("", []byte(test.second), xmldoc.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := xmldoc.Same(first, second, document.Rules()); got != test.same {
				t.Errorf("the same: %v, want %v: %v", got, test.same, xmldoc.Compare(first, second, document.Rules()))
			}
		})
	}
}
