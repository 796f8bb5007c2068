package libvirt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
)

// Pools as libvirt describes them. Those of types that no test has a server for
// are held to their documents (https://libvirt.org/storage.html).
func TestPoolsByTheirDocuments(t *testing.T) {
	const sizes = `<capacity unit='bytes'>1000</capacity><allocation unit='bytes'>400</allocation><available unit='bytes'>600</available>`
	for name, test := range map[string]struct {
		doc  string
		want Pool
	}{
		"dir": {
			`<pool type='dir'><name>default</name>` + sizes + `<source></source><target><path>/images</path></target></pool>`,
			Pool{Name: "default", Type: "dir", Path: "/images"},
		},
		"netfs": {
			`<pool type='netfs'><name>nfs</name>` + sizes + `<source><host name='server'/><dir path='/export/a'/><format type='nfs'/></source><target><path>/nfs</path></target></pool>`,
			Pool{Name: "nfs", Type: "netfs", Path: "/nfs", Store: "netfs://server/export/a"},
		},
		"logical": {
			`<pool type='logical'><name>vg</name>` + sizes + `<source><device path='/dev/sdb'/><name>vg</name><format type='lvm2'/></source><target><path>/dev/vg</path></target></pool>`,
			Pool{Name: "vg", Type: "logical", Path: "/dev/vg"},
		},
		"rbd, its monitors in any order": {
			`<pool type='rbd'><name>ceph</name>` + sizes + `<source><host name='mon2' port='6789'/><host name='mon1'/><name>vms</name></source></pool>`,
			Pool{Name: "ceph", Type: "rbd", Store: "rbd://mon1,mon2:6789/vms"},
		},
		"iscsi": {
			`<pool type='iscsi'><name>san</name>` + sizes + `<source><host name='san'/><device path='iqn.2026-01.com.example:x'/></source><target><path>/dev/disk/by-path</path></target></pool>`,
			Pool{Name: "san", Type: "iscsi", Path: "/dev/disk/by-path", Store: "iscsi://san/iqn.2026-01.com.example:x"},
		},
		"zfs": {
			`<pool type='zfs'><name>tank</name>` + sizes + `<source><name>tank</name></source><target><path>/dev/zvol/tank</path></target></pool>`,
			Pool{Name: "tank", Type: "zfs", Path: "/dev/zvol/tank"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var d libvirtxml.StoragePool
			if err := d.Unmarshal(test.doc); err != nil {
				t.Fatal(err)
			}
			test.want.Capacity, test.want.Allocation, test.want.Available = 1000, 400, 600
			if diff := cmp.Diff(test.want, poolOf(&d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDocumentsOfVolumes(t *testing.T) {
	for name, test := range map[string]struct {
		in   NewVolume
		want string
	}{
		"qcow2": {
			NewVolume{Name: "v", Format: FormatQCOW2, Capacity: 5},
			`<volume><name>v</name><allocation unit="bytes">0</allocation><capacity unit="bytes">5</capacity><target><format type="qcow2"></format><compat>1.1</compat></target></volume>`,
		},
		"raw, whole": {
			NewVolume{Name: "v", Format: FormatRaw, Capacity: 5, Preallocated: true},
			`<volume><name>v</name><allocation unit="bytes">5</allocation><capacity unit="bytes">5</capacity><target><format type="raw"></format></target></volume>`,
		},
		"based on an image": {
			NewVolume{Name: "v", Format: FormatQCOW2, Capacity: 5, Backing: "/i", BackingFormat: FormatRaw},
			`<volume><name>v</name><allocation unit="bytes">0</allocation><capacity unit="bytes">5</capacity><target><format type="qcow2"></format><compat>1.1</compat></target><backingStore><path>/i</path><format type="raw"></format></backingStore></volume>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := volumeDocument(test.in)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, line := range strings.Split(doc, "\n") {
				got.WriteString(strings.TrimSpace(line))
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDiskThatIsAVolume(t *testing.T) {
	const doc = `<domain><devices>
		<disk type='file' device='disk'><source file='/x'/><target dev='vda'/></disk>
		<disk type='volume' device='disk'><source pool='p' volume='v' index='2'/><target dev='vdb'/></disk>
	</devices></domain>`
	for volume, want := range map[string]string{"v": "vdb", "w": ""} {
		if got, err := diskOf(doc, "p", volume); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", volume, got, err, want)
		}
	}
}
