package hotplug

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

type entries = []v1alpha1.VirtualMachineDisk

func volume(name string) convert.Volume {
	return convert.Volume{Pool: "default", Name: "ns." + name + ".vd-000000000000", Format: v1alpha1.DiskQCOW2}
}

func ref(name string) libvirt.VolumeRef {
	return libvirt.VolumeRef{Pool: "default", Name: volume(name).Name}
}

// device is what a guest has for an entry.
func device(e v1alpha1.VirtualMachineDisk) libvirt.Disk {
	kind, bus := convert.BusOf(&e)
	d := libvirt.Disk{
		Alias: convert.DiskAlias(e.Name), Target: "t-" + e.Name, Device: string(kind), Bus: string(bus),
		Serial: e.Serial, ReadOnly: !e.MayWrite(), BootOrder: uint(e.BootOrder), Empty: e.DiskName == "",
	}
	if e.DiskName != "" {
		d.Volume = ref(e.DiskName)
	}
	return d
}

func devices(list ...v1alpha1.VirtualMachineDisk) (out []libvirt.Disk) {
	for _, e := range list {
		out = append(out, device(e))
	}
	return out
}

var roomy = libvirt.Sockets{PCI: 9, VirtioSCSI: true, USB: true}

// said is a comparison in words.
func said(c Comparison) (out []string) {
	for _, x := range c.Changes {
		out = append(out, fmt.Sprintf("%s %s %s", x.Action, x.Name, x.DiskName))
	}
	for _, w := range c.Waits {
		out = append(out, fmt.Sprintf("wait %s: %s", w.Name, w.Why))
	}
	for _, r := range c.Restart {
		out = append(out, fmt.Sprintf("restart %s: %s", r.Field, r.Why))
	}
	return out
}

func TestCompare(t *testing.T) {
	a, b := v1alpha1.VirtualMachineDisk{Name: "a", DiskName: "a"}, v1alpha1.VirtualMachineDisk{Name: "b", DiskName: "b"}
	with := func(e v1alpha1.VirtualMachineDisk, change func(*v1alpha1.VirtualMachineDisk)) v1alpha1.VirtualMachineDisk {
		change(&e)
		return e
	}
	bus := func(e v1alpha1.VirtualMachineDisk, bus v1alpha1.DiskBus) v1alpha1.VirtualMachineDisk {
		return with(e, func(e *v1alpha1.VirtualMachineDisk) { e.Bus = bus })
	}
	drive := func(disk string) v1alpha1.VirtualMachineDisk {
		return v1alpha1.VirtualMachineDisk{Name: "cd", DiskName: disk, Type: v1alpha1.DeviceCDROM}
	}
	overlay := device(a)
	overlay.Volume = libvirt.VolumeRef{}
	nameless := device(a)
	nameless.Alias = "virtio-disk1"
	for name, test := range map[string]struct {
		wanted  entries
		has     []libvirt.Disk
		sockets *libvirt.Sockets
		// cannot are the disks that cannot be had.
		cannot, elsewhere []string
		want              []string
	}{
		"nothing, and nothing":                 {},
		"what is wanted is there":              {wanted: entries{a, drive("b")}, has: devices(a, drive("b"))},
		"another order":                        {wanted: entries{b, a}, has: devices(a, b)},
		"one more":                             {wanted: entries{a, b}, has: devices(a), want: []string{"Attach b b"}},
		"one fewer":                            {wanted: entries{a}, has: devices(a, b), want: []string{"Detach b b"}},
		"one for another, which goes first":    {wanted: entries{b}, has: devices(a), want: []string{"Detach a a", "Attach b b"}},
		"another disk under the same name":     {wanted: entries{with(a, func(e *v1alpha1.VirtualMachineDisk) { e.DiskName = "b" })}, has: devices(a), want: []string{"Detach a a"}},
		"another that cannot be had":           {wanted: entries{with(a, func(e *v1alpha1.VirtualMachineDisk) { e.DiskName = "b" })}, has: devices(a), cannot: []string{"b"}, want: []string{"wait a: not b"}},
		"the same disk under another name":     {wanted: entries{with(a, func(e *v1alpha1.VirtualMachineDisk) { e.Name = "c" })}, has: devices(a), want: []string{"Detach a a", "wait c: the guest has VirtualDisk a under another name, and is to give it up first"}},
		"one that cannot be had":               {wanted: entries{a}, cannot: []string{"a"}, want: []string{"wait a: not a"}},
		"one on another host":                  {wanted: entries{a}, cannot: []string{"a"}, elsewhere: []string{"a"}, want: []string{"restart spec.disks[a]: VirtualDisk a is on host h"}},
		"one that is there and not ready":      {wanted: entries{a}, has: devices(a), cannot: []string{"a"}},
		"an overlay of a snapshot's":           {wanted: entries{a}, has: []libvirt.Disk{overlay}},
		"one without our alias":                {wanted: entries{a}, has: []libvirt.Disk{nameless}},
		"one without our alias, not wanted":    {has: []libvirt.Disk{nameless}},
		"sata":                                 {wanted: entries{bus(a, v1alpha1.BusSATA)}, want: []string{"restart spec.disks[a]: a disk on bus sata cannot be plugged in or out while the guest runs"}},
		"ide, not wanted":                      {has: devices(bus(a, v1alpha1.BusIDE)), want: []string{"restart spec.disks[a]: a disk on bus ide cannot be plugged in or out while the guest runs"}},
		"usb":                                  {wanted: entries{bus(a, v1alpha1.BusUSB)}, want: []string{"Attach a a"}},
		"usb without a controller":             {wanted: entries{bus(a, v1alpha1.BusUSB)}, sockets: &libvirt.Sockets{}, want: []string{"restart spec.disks[a]: the guest has no USB controller"}},
		"scsi without a controller":            {wanted: entries{bus(a, v1alpha1.BusSCSI)}, sockets: &libvirt.Sockets{PCI: 9}, want: []string{"restart spec.disks[a]: the guest has no virtio-scsi controller"}},
		"two, and one port":                    {wanted: entries{a, b}, sockets: &libvirt.Sockets{PCI: 1}, want: []string{"Attach a a", "restart spec.disks[b]: the guest has no PCI port left to plug it into"}},
		"two, and ports that nobody counts":    {wanted: entries{a, b}, sockets: &libvirt.Sockets{PCI: -1}, want: []string{"Attach a a", "Attach b b"}},
		"another serial number":                {wanted: entries{with(a, func(e *v1alpha1.VirtualMachineDisk) { e.Serial = "s" })}, has: devices(a), want: []string{"restart spec.disks[a].serial: "}},
		"another bus":                          {wanted: entries{bus(a, v1alpha1.BusSCSI)}, has: devices(a), want: []string{"restart spec.disks[a].bus: "}},
		"read only":                            {wanted: entries{with(a, func(e *v1alpha1.VirtualMachineDisk) { e.ReadOnly = true })}, has: devices(a), want: []string{"restart spec.disks[a].readOnly: "}},
		"another boot order":                   {wanted: entries{with(a, func(e *v1alpha1.VirtualMachineDisk) { e.BootOrder = 1 })}, has: devices(a), want: []string{"restart spec.disks[a].bootOrder: "}},
		"a disk becomes a drive":               {wanted: entries{with(a, func(e *v1alpha1.VirtualMachineDisk) { e.Type = v1alpha1.DeviceCDROM })}, has: devices(a), want: []string{"restart spec.disks[a].type: ", "restart spec.disks[a].bus: "}},
		"another medium":                       {wanted: entries{drive("b")}, has: devices(drive("a")), want: []string{"ChangeMedium cd b"}},
		"no medium":                            {wanted: entries{drive("")}, has: devices(drive("a")), want: []string{"ChangeMedium cd "}},
		"a medium":                             {wanted: entries{drive("a")}, has: devices(drive("")), want: []string{"ChangeMedium cd a"}},
		"a medium that cannot be had":          {wanted: entries{drive("a")}, has: devices(drive("")), cannot: []string{"a"}, want: []string{"wait cd: not a"}},
		"a medium that is in another drive":    {wanted: entries{with(drive("a"), func(e *v1alpha1.VirtualMachineDisk) { e.Name = "cd2" }), drive("")}, has: devices(drive("a"), with(drive(""), func(e *v1alpha1.VirtualMachineDisk) { e.Name = "cd2" })), want: []string{"ChangeMedium cd ", "wait cd2: the guest has VirtualDisk a under another name, and is to give it up first"}},
		"a drive on sata is not plugged in":    {wanted: entries{drive("")}, want: []string{"restart spec.disks[cd]: a cdrom on bus sata cannot be plugged in or out while the guest runs"}},
		"a disk on sata is another at a start": {wanted: entries{with(bus(a, v1alpha1.BusSATA), func(e *v1alpha1.VirtualMachineDisk) { e.DiskName = "b" })}, has: devices(bus(a, v1alpha1.BusSATA)), want: []string{"restart spec.disks[a].diskName: a disk on bus sata cannot be plugged in or out while the guest runs"}},
	} {
		t.Run(name, func(t *testing.T) {
			guest := Guest{Disks: test.has, Sockets: roomy}
			if test.sockets != nil {
				guest.Sockets = *test.sockets
			}
			if diff := cmp.Diff(test.want, said(Compare(wants(test.wanted, test.cannot, test.elsewhere), guest))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func wants(list entries, cannot, elsewhere []string) Wanted {
	w := Wanted{Namespace: "ns", Disks: list, Volumes: map[string]convert.Volume{}, Waits: map[string]string{}, Elsewhere: map[string]string{}}
	for _, e := range list {
		switch {
		case slices.Contains(cannot, e.DiskName):
			w.Waits[e.DiskName] = "not " + e.DiskName
		case e.DiskName != "":
			w.Volumes[e.DiskName] = volume(e.DiskName)
		}
		if slices.Contains(elsewhere, e.DiskName) {
			w.Elsewhere[e.DiskName] = "h"
		}
	}
	return w
}

// Whatever is wanted and whatever the guest has: who makes the first change that
// there is, again and again, comes to an end, at which the guest has what is wanted
// but for what only a start or somebody else's doing mends. At no time does it have
// a volume twice.
func TestChangesComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disks := []string{"d1", "d2", "d3", "d4"}
		draw := func(label string) (out entries) {
			left := rapid.Permutation(disks).Draw(t, label+" disks")
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID[string]).Draw(t, label) {
				e := v1alpha1.VirtualMachineDisk{Name: name, DiskName: left[0], Serial: rapid.SampledFrom([]string{"", "s"}).Draw(t, "serial")}
				left = left[1:]
				if rapid.Bool().Draw(t, "cdrom") {
					e.Type = v1alpha1.DeviceCDROM
					e.Bus = rapid.SampledFrom([]v1alpha1.DiskBus{"", v1alpha1.BusSCSI}).Draw(t, "bus")
					if rapid.Bool().Draw(t, "empty") {
						e.DiskName = ""
					}
				} else {
					e.Bus = rapid.SampledFrom([]v1alpha1.DiskBus{"", v1alpha1.BusSCSI, v1alpha1.BusSATA}).Draw(t, "bus")
				}
				out = append(out, e)
			}
			return out
		}
		wanted, has := draw("wanted"), devices(draw("has")...)
		cannot := rapid.SliceOfDistinct(rapid.SampledFrom(disks), rapid.ID[string]).Draw(t, "cannot")
		guest := Guest{Disks: has, Sockets: libvirt.Sockets{PCI: rapid.IntRange(-1, 3).Draw(t, "ports"), VirtioSCSI: rapid.Bool().Draw(t, "scsi")}}
		for step := 0; ; step++ {
			c := Compare(wants(wanted, cannot, nil), guest)
			if len(c.Changes) == 0 {
				if len(c.Waits)+len(c.Restart) == 0 {
					inOrder := devices(wanted...)
					byAlias := func(a, b libvirt.Disk) int { return strings.Compare(a.Alias, b.Alias) }
					slices.SortFunc(inOrder, byAlias)
					slices.SortFunc(guest.Disks, byAlias)
					if diff := cmp.Diff(inOrder, guest.Disks, cmpopts.EquateEmpty()); diff != "" {
						t.Fatalf("it is said to have what is wanted: %s", diff)
					}
				}
				return
			}
			if step > 20 {
				t.Fatalf("it comes to no end: %v", said(c))
			}
			change := c.Changes[0]
			at := slices.IndexFunc(guest.Disks, func(d libvirt.Disk) bool { return d.Alias == convert.DiskAlias(change.Name) })
			switch change.Action {
			case Attach:
				if at >= 0 || slices.Contains(cannot, change.DiskName) {
					t.Fatalf("%v of what is there, or cannot be had", change)
				}
				guest.Disks = append(slices.Clone(guest.Disks), device(*change.Entry))
				if guest.Sockets.PCI > 0 && device(*change.Entry).Bus == "virtio" {
					guest.Sockets.PCI--
				}
			case Detach:
				if guest.Sockets.PCI >= 0 && guest.Disks[at].Bus == "virtio" {
					guest.Sockets.PCI++
				}
				guest.Disks = slices.Delete(slices.Clone(guest.Disks), at, at+1)
			case ChangeMedium:
				if slices.Contains(cannot, change.DiskName) {
					t.Fatalf("%v of what cannot be had", change)
				}
				guest.Disks = slices.Clone(guest.Disks)
				d := device(*change.Entry)
				d.Serial, d.BootOrder = guest.Disks[at].Serial, guest.Disks[at].BootOrder
				guest.Disks[at] = d
			}
			seen := map[libvirt.VolumeRef]bool{}
			for _, d := range guest.Disks {
				if d.Volume.Name != "" && seen[d.Volume] {
					t.Fatalf("the guest has %v twice", d.Volume)
				}
				seen[d.Volume] = true
			}
		}
	})
}
