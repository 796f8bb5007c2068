package convert_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

const seedPath = "/var/lib/vm-executor/seeds/host-1/0d0b6f4e-5b1c-4c1f-9d57-1f6ad1f0a001.iso"

// seeded is the domain of a VM that has a seed.
func seeded(t *testing.T, domain string, bus v1alpha1.CloudInitBus) *libvirtxml.Domain {
	t.Helper()
	vm := machine(t, domain)
	vm.Spec.CloudInit = &v1alpha1.CloudInit{Bus: bus, UserData: "#!hush-hush"}
	in := input(vm)
	in.Seed = seedPath
	out, err := convert.Domain(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSeedXML(t *testing.T) {
	for name, test := range map[string]struct {
		domain string
		bus    v1alpha1.CloudInitBus
	}{
		"seed-beside-virtio": {`devices: {disks: [{device: disk, driver: {type: qcow2}, source: {volume: {pool: default, volume: demo.web}}, target: {dev: vda, bus: virtio}}]}`, ""},
		"seed-on-q35":        {``, ""},
		"seed-on-pc":         {`os: {type: {machine: pc-i440fx-7.2}}`, ""},
		"seed-on-virt":       {`os: {type: {arch: aarch64, machine: virt}}`, ""},
		"seed-on-usb":        {``, v1alpha1.CloudInitUSB},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := convert.Marshal(seeded(t, test.domain, test.bus))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".xml"), got+"\n")
		})
	}
}

func TestTheSeedGoesWhereNoDiskIs(t *testing.T) {
	place := func(domain *libvirtxml.Domain) string {
		d := domain.Devices.Disks[len(domain.Devices.Disks)-1]
		out := d.Target.Bus + " " + d.Target.Dev
		if d.Address != nil {
			out += " on " + string(rune('0'+*d.Address.Drive.Controller))
		}
		return out
	}
	for name, test := range map[string]struct {
		domain, want string
		bus          v1alpha1.CloudInitBus
	}{
		"a name of another bus":              {`devices: {disks: [{target: {dev: sda, bus: virtio}}]}`, "sata sdb", "sata"},
		"behind two":                         {`devices: {disks: [{target: {dev: sda, bus: sata}}, {target: {dev: sdb, bus: sata}}]}`, "sata sdc", ""},
		"in a gap":                           {`devices: {disks: [{target: {dev: sda, bus: sata}}, {target: {dev: sdc, bus: sata}}]}`, "sata sdb", ""},
		"beside an address":                  {`devices: {disks: [{target: {dev: sdz, bus: sata}, address: {drive: {controller: 0, unit: 0}}}]}`, "sata sdb", ""},
		"a machine that libvirt chooses":     {`os: {type: {arch: i686}}`, "ide hda", ""},
		"beside an address on IDE":           {`{os: {type: {machine: pc}}, devices: {disks: [{target: {dev: hdd, bus: ide}, address: {drive: {controller: 0, bus: 0, unit: 0}}}]}}`, "ide hdb", ""},
		"IDE is full":                        {`{os: {type: {machine: pc}}, devices: {disks: [{target: {dev: hda, bus: ide}}, {target: {dev: hdb, bus: ide}}, {target: {dev: hdc, bus: ide}}, {target: {dev: hdd, bus: ide}}]}}`, "sata sda", ""},
		"a controller of its own":            {`devices: {disks: [{target: {dev: sda, bus: scsi}}]}`, "scsi sdb on 1", ""},
		"behind controllers that are listed": {`devices: {controllers: [{type: scsi, index: 3}], disks: [{target: {dev: vda, bus: virtio}}]}`, "scsi sda on 4", ""},
		"behind controllers that follow":     {`devices: {disks: [{target: {dev: sdh, bus: scsi}}]}`, "scsi sda on 2", ""},
		"behind one without a number":        {`devices: {controllers: [{type: scsi}], disks: [{target: {dev: vda, bus: virtio}}]}`, "scsi sda on 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := place(seeded(t, test.domain, test.bus)); got != test.want {
				t.Errorf("on %s, want %s", got, test.want)
			}
		})
	}
}

// TestTheSeedTakesNoPlace: whatever disks a user has, on whatever buses, their
// names stay, and none has the seed's.
func TestTheSeedTakesNoPlace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"hda", "hdb", "hdc", "hdd", "sda", "sdb", "sdc", "sdd", "sdy", "sdz", "sdaa", "vda"}), 0, 12, rapid.ID[string]).Draw(rt, "names")
		doc := "{devices: {disks: ["
		for _, name := range names {
			bus := map[byte]string{'h': "ide", 'v': "virtio", 's': rapid.SampledFrom([]string{"sata", "scsi", "usb"}).Draw(rt, "bus")}[name[0]]
			doc += "{target: {dev: " + name + ", bus: " + bus + "}},"
		}
		machine := rapid.SampledFrom([]string{"pc", "q35"}).Draw(rt, "machine")
		domain := seeded(t, doc+"]}, os: {type: {machine: "+machine+"}}}", rapid.SampledFrom([]v1alpha1.CloudInitBus{"", "ide", "sata", "scsi", "usb"}).Draw(rt, "the seed's bus"))
		var got []string
		for _, d := range domain.Devices.Disks {
			got = append(got, d.Target.Dev)
		}
		if len(got) != len(names)+1 || !slices.Equal(got[:len(names)], names) || slices.Contains(names, got[len(names)]) || got[len(names)] == "" {
			rt.Fatalf("disks %v beside %v", got, names)
		}
	})
}

func TestAVMWithoutCloudInitHasNoSeed(t *testing.T) {
	in := input(machine(t, ""))
	without, err := convert.Domain(in)
	if err != nil {
		t.Fatal(err)
	}
	in.Seed = seedPath
	with, err := convert.Domain(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(without, with); diff != "" {
		t.Error(diff)
	}
}

func TestMACs(t *testing.T) {
	for domain, want := range map[string][]string{
		`devices: {}`: nil,
		`devices: {interfaces: [{mac: {address: "52:54:00:AB:00:01"}}, {mac: {address: "52:54:00:ab:00:02"}}]}`: {"52:54:00:ab:00:01", "52:54:00:ab:00:02"},
		`devices: {interfaces: [{mac: {address: "52:54:00:ab:00:01"}}, {}]}`:                                    nil,
	} {
		d, errs := convert.UserDomain(machine(t, domain))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if diff := cmp.Diff(want, convert.MACs(d)); diff != "" {
			t.Errorf("%s: %s", domain, diff)
		}
	}
}

func TestCloudInitIsRecordedAndNotShown(t *testing.T) {
	const plain = `{resources: {cpu: 1, memory: 1Gi}`
	for name, test := range map[string]struct {
		then, now string
		want      []string
	}{
		"nothing":     {plain + `, cloudInit: {userData: "#!a"}}`, plain + `, cloudInit: {userData: "#!a"}}`, nil},
		"user data":   {plain + `, cloudInit: {userData: "#!a", hostname: h}}`, plain + `, cloudInit: {userData: "#!b", hostname: h}}`, []string{"spec.cloudInit.userData"}},
		"a key":       {plain + `, cloudInit: {sshAuthorizedKeys: [a]}}`, plain + `, cloudInit: {sshAuthorizedKeys: [a, b]}}`, []string{"spec.cloudInit.sshAuthorizedKeys"}},
		"a Secret":    {plain + `, cloudInit: {userDataFrom: {secretRef: {name: a, key: k}}}}`, plain + `, cloudInit: {userDataFrom: {secretRef: {name: b, key: k}}}}`, []string{"spec.cloudInit.userDataFrom"}},
		"all of it":   {plain + `}`, plain + `, cloudInit: {}}`, []string{"spec.cloudInit"}},
		"what it has": {plain + `, cloudInit: {}}`, plain + `, cloudInit: {hostname: h}}`, []string{"spec.cloudInit"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, known := convert.RecordSpec(specOf(t, test.then)).Changed(specOf(t, test.now))
			if diff := cmp.Diff(test.want, got); diff != "" || !known {
				t.Error(known, diff)
			}
		})
	}
}
