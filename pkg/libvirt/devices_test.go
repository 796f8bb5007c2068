package libvirt

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDevicesAreReadWhole(t *testing.T) {
	function, err := os.ReadFile("testdata/virtual-function.xml")
	if err != nil {
		t.Fatal(err)
	}
	one := int32(1)
	for name, c := range map[string]struct {
		doc  string
		want []Device
	}{
		"a virtual function near a cell": {
			doc:  string(function),
			want: []Device{{Address: "0000:3b:02.1", Vendor: "8086", Product: "154c", PhysicalFunction: "0000:3b:00.1", Cell: &one}},
		},
		"a device near none, in a domain of its own": {
			doc: `<device><name>pci_10000_e1_00_0</name><capability type='pci'>
				<domain>65536</domain><bus>225</bus><slot>0</slot><function>0</function>
				<product id='0x20b0'/><vendor id='0x10de'/></capability></device>`,
			want: []Device{{Address: "10000:e1:00.0", Vendor: "10de", Product: "20b0"}},
		},
		"a device of another bus": {
			doc: `<device><name>usb_1_1</name><capability type='usb_device'><bus>1</bus><device>2</device></capability></device>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			device, is, err := parseDevice(c.doc)
			if err != nil {
				t.Fatal(err)
			}
			var got []Device
			if is {
				got = append(got, device)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
