package convert

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestDisksOfTheSpec(t *testing.T) {
	volumes := map[string]Volume{
		"root": {Pool: "default", Name: "ns.root.vd-0", Format: v1alpha1.DiskQCOW2},
		"iso":  {Pool: "images", Name: "ns.iso.vd-1", Format: v1alpha1.DiskRaw, ReadOnly: true, Shared: true},
	}
	own := `<disk type="volume" device="disk"><driver name="qemu" type="raw"></driver><source pool="p" volume="v"></source><target dev="vda" bus="virtio"></target></disk>`
	for name, test := range map[string]struct {
		own   string
		disks []v1alpha1.VirtualMachineDisk
		boots bool
		want  []string
		errs  []string
	}{
		"none": {},
		"behind those of the domain, under the next names": {
			own: own, disks: []v1alpha1.VirtualMachineDisk{{Name: "a", DiskName: "root", BootOrder: 1, Serial: "s"}, {Name: "b", DiskName: "iso", Type: v1alpha1.DeviceCDROM}},
			want: []string{
				`<disk type="volume" device="disk"><driver name="qemu" type="qcow2"></driver><source pool="default" volume="ns.root.vd-0"></source><target dev="vdb" bus="virtio"></target><serial>s</serial><boot order="1"></boot><alias name="ua-disk-a"></alias></disk>`,
				`<disk type="volume" device="cdrom"><driver name="qemu" type="raw"></driver><source pool="images" volume="ns.iso.vd-1"></source><target dev="sda" bus="sata"></target><readonly></readonly><alias name="ua-disk-b"></alias></disk>`,
			},
		},
		"read only": {
			disks: []v1alpha1.VirtualMachineDisk{{Name: "a", DiskName: "root", ReadOnly: true, Bus: v1alpha1.BusIDE}},
			want:  []string{`<disk type="volume" device="disk"><driver name="qemu" type="qcow2"></driver><source pool="default" volume="ns.root.vd-0"></source><target dev="hda" bus="ide"></target><readonly></readonly><alias name="ua-disk-a"></alias></disk>`},
		},
		"an empty tray, and another": {
			disks: []v1alpha1.VirtualMachineDisk{{Name: "a", Type: v1alpha1.DeviceCDROM}, {Name: "b", Type: v1alpha1.DeviceCDROM}},
			want: []string{
				`<disk device="cdrom"><driver name="qemu" type="raw"></driver><target dev="sda" bus="sata"></target><readonly></readonly><alias name="ua-disk-a"></alias></disk>`,
				`<disk device="cdrom"><driver name="qemu" type="raw"></driver><target dev="sdb" bus="sata"></target><readonly></readonly><alias name="ua-disk-b"></alias></disk>`,
			},
		},
		"an alias that the domain has": {
			own: strings.Replace(own, "</disk>", `<alias name="ua-disk-a"/></disk>`, 1), disks: []v1alpha1.VirtualMachineDisk{{Name: "a", DiskName: "root"}},
			errs: []string{`spec.disks[0].name: Invalid value: "a": a disk of spec.domain has the alias ua-disk-a`},
		},
		"one that is not there": {
			disks: []v1alpha1.VirtualMachineDisk{{Name: "a", DiskName: "other"}}, errs: []string{`spec.disks[0].diskName: Not found: "other"`},
		},
		"one that is there twice": {
			disks: []v1alpha1.VirtualMachineDisk{{Name: "a", DiskName: "root"}, {Name: "b", DiskName: "root"}}, errs: []string{`spec.disks[1].diskName: Duplicate value: "root"`},
		},
		"two ways to say what to boot from": {
			disks: []v1alpha1.VirtualMachineDisk{{Name: "a", DiskName: "root", BootOrder: 1}}, boots: true, errs: []string{"spec.disks[0].bootOrder: Forbidden: spec.domain.os.bootDevices"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{}}
			if test.own != "" {
				var disk libvirtxml.DomainDisk
				if err := disk.Unmarshal(test.own); err != nil {
					t.Fatal(err)
				}
				d.Devices.Disks = append(d.Devices.Disks, disk)
			}
			if test.boots {
				d.OS = &libvirtxml.DomainOS{BootDevices: []libvirtxml.DomainBootDevice{{Dev: "hd"}}}
			}
			before := len(d.Devices.Disks)
			errs := setDisks(d, test.disks, volumes, 0)
			if len(errs) != len(test.errs) {
				t.Fatalf("errors %v, want %v", errs, test.errs)
			}
			for i, err := range errs {
				if !strings.Contains(err.Error(), test.errs[i]) {
					t.Errorf("error %q, want %q", err, test.errs[i])
				}
			}
			var got []string
			for _, disk := range d.Devices.Disks[before:] {
				doc, err := disk.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(doc, "\n")
				for i := range lines {
					lines[i] = strings.TrimSpace(lines[i])
				}
				got = append(got, strings.Join(lines, ""))
			}
			if len(test.errs) == 0 {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("disks (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestNamesOfTargets(t *testing.T) {
	for n, want := range map[int]string{0: "a", 25: "z", 26: "aa", 51: "az", 52: "ba", 701: "zz", 702: "aaa"} {
		if got := lettersOf(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestAChangeOfDisksIsRecorded(t *testing.T) {
	spec := &v1alpha1.VirtualMachineSpec{Disks: []v1alpha1.VirtualMachineDisk{{Name: "a", DiskName: "root"}}}
	record := RecordSpec(spec)
	same := spec.DeepCopy()
	same.Disks[0].Bus = v1alpha1.BusVirtio // the default
	if changed, ok := record.Changed(same); !ok || len(changed) > 0 {
		t.Errorf("the default written out changes %v, %t", changed, ok)
	}
	other := spec.DeepCopy()
	other.Disks[0].DiskName = "other"
	if changed, _ := record.Changed(other); !cmp.Equal(changed, []string{"spec.disks"}) {
		t.Errorf("changed %v", changed)
	}
}
