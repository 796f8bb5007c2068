package libvirt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/libvirt"
)

// placed is a guest with everything that a placement writes into a domain.
const placed = `<domain type='kvm'>
  <name>default:placed</name>
  <uuid>` + guestUUID + `</uuid>
  <memory unit='MiB'>1024</memory>
  <vcpu>4</vcpu>
  <memoryBacking><hugepages><page size='2048' unit='KiB' nodeset='0-1'/></hugepages></memoryBacking>
  <cputune>
    <vcpupin vcpu='0' cpuset='0'/>
    <vcpupin vcpu='1' cpuset='8'/>
    <vcpupin vcpu='2' cpuset='4-5,12-13'/>
    <vcpupin vcpu='3' cpuset='4-5,12-13'/>
    <emulatorpin cpuset='1,9'/>
  </cputune>
  <numatune>
    <memnode cellid='0' mode='strict' nodeset='0'/>
    <memnode cellid='1' mode='strict' nodeset='1'/>
  </numatune>
  <os firmware='efi'>
    <type arch='x86_64' machine='q35'>hvm</type>
    <firmware><feature enabled='yes' name='secure-boot'/></firmware>
  </os>
  <cpu mode='custom' match='exact'>
    <model fallback='forbid'>EPYC-Rome</model>
    <numa>
      <cell id='0' cpus='0-1' memory='786432' unit='KiB'/>
      <cell id='1' cpus='2-3' memory='262144' unit='KiB'/>
    </numa>
  </cpu>
  <devices>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></source>
    </hostdev>
  </devices>
</domain>`

func TestAPlacedDomainIsBoundOnASimulatedHost(t *testing.T) {
	host, _, ctx := simulate(t)
	if err := errors.Join(host.Define(ctx, placed), host.Start(ctx, guestUUID)); err != nil {
		t.Fatal(err)
	}
	got, err := host.Domain(ctx, guestUUID)
	if err != nil {
		t.Fatal(err)
	}
	want := libvirt.Domain{
		Name: "default:placed", UUID: guestUUID, ID: 1, State: libvirt.StateRunning, CPU: 4, VCPUs: 4, Memory: 1 << 30, CurrentMemory: 1 << 30, PageSize: 2 << 20,
		Binding: libvirt.Binding{
			VCPUs: map[int]string{0: "0", 1: "8", 2: "4-5,12-13", 3: "4-5,12-13"}, Emulator: "1,9",
			Cells: []libvirt.BoundMemory{{Cell: 0, Memory: 768 << 20}, {Cell: 1, Memory: 256 << 20}},
		},
		Firmware: libvirt.FirmwareState{UEFI: true}, Sockets: libvirt.Sockets{PCI: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	free, err := host.FreePages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wantFree := []libvirt.CellFree{{Cell: 0, Pages: libvirt.Pages{Size2Mi: 640, Size1Gi: 1}}, {Cell: 1, Pages: libvirt.Pages{Size2Mi: 384}}}
	if diff := cmp.Diff(wantFree, free); diff != "" {
		t.Error(diff)
	}
}

func TestARunningGuestIsPinnedUntilItEnds(t *testing.T) {
	host, _, ctx := simulate(t)
	binding := func() libvirt.Binding {
		t.Helper()
		d, err := host.Domain(ctx, guestUUID)
		if err != nil {
			t.Fatal(err)
		}
		return d.Binding
	}
	if err := host.Pin(ctx, guestUUID, map[int]string{0: "0"}, ""); !errors.Is(err, libvirt.ErrNotFound) {
		t.Errorf("before it is defined: %v", err)
	}
	if err := host.Define(ctx, guest); err != nil {
		t.Fatal(err)
	}
	if err := host.Pin(ctx, guestUUID, map[int]string{0: "0"}, "1"); err != nil {
		t.Errorf("before it runs: %v", err)
	}
	if diff := cmp.Diff(libvirt.Binding{}, binding()); diff != "" {
		t.Errorf("before it runs: %s", diff)
	}
	if err := host.Start(ctx, guestUUID); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		vcpus    map[int]string
		emulator string
		want     libvirt.Binding
	}{
		{map[int]string{0: "0,8", 1: "4-5,12-13"}, "1,9", libvirt.Binding{VCPUs: map[int]string{0: "0,8", 1: "4-5,12-13"}, Emulator: "1,9"}},
		{map[int]string{1: "13"}, "", libvirt.Binding{VCPUs: map[int]string{0: "0,8", 1: "13"}, Emulator: "1,9"}},
		{nil, "0", libvirt.Binding{VCPUs: map[int]string{0: "0,8", 1: "13"}, Emulator: "0"}},
	} {
		if err := host.Pin(ctx, guestUUID, step.vcpus, step.emulator); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, binding()); diff != "" {
			t.Error(diff)
		}
	}
	if err := errors.Join(host.Destroy(ctx, guestUUID), host.Start(ctx, guestUUID)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(libvirt.Binding{}, binding()); diff != "" {
		t.Errorf("started again: %s", diff)
	}
}

func TestWhatIsNotThereIsNoPlaceToPinTo(t *testing.T) {
	host, _, ctx := simulate(t)
	if err := errors.Join(host.Define(ctx, guest), host.Start(ctx, guestUUID)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		vcpus    map[int]string
		emulator string
		says     string
	}{
		"a CPU that the host does not have":    {map[int]string{0: "14"}, "", "the host has no CPU 14"},
		"a vCPU that the guest does not have":  {map[int]string{2: "0"}, "", "vcpu"},
		"no CPU at all":                        {map[int]string{0: ""}, "", "no CPU is named"},
		"something else than numbers":          {nil, "all", "all"},
		"a CPU beyond the host's for the rest": {nil, "0-99", "the host has no CPU 14"},
	} {
		t.Run(name, func(t *testing.T) {
			err := host.Pin(ctx, guestUUID, c.vcpus, c.emulator)
			if !errors.Is(err, libvirt.ErrInvalidDomain) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestIOThreadsArePinnedWithTheEmulator(t *testing.T) {
	host, _, ctx := simulate(t)
	threaded := strings.Replace(guest, "<vcpu>2</vcpu>", "<vcpu>2</vcpu><iothreads>2</iothreads><iothreadids><iothread id='3'/></iothreadids>", 1)
	if err := errors.Join(host.Define(ctx, threaded), host.Start(ctx, guestUUID)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		vcpus    map[int]string
		emulator string
		want     libvirt.Binding
	}{
		{map[int]string{0: "8"}, "", libvirt.Binding{VCPUs: map[int]string{0: "8"}, IOThreads: []string{"", ""}}},
		{nil, "0,8", libvirt.Binding{VCPUs: map[int]string{0: "8"}, Emulator: "0,8", IOThreads: []string{"0,8", "0,8"}}},
	} {
		if err := host.Pin(ctx, guestUUID, step.vcpus, step.emulator); err != nil {
			t.Fatal(err)
		}
		d, err := host.Domain(ctx, guestUUID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, d.Binding); diff != "" {
			t.Error(diff)
		}
	}
}
