package libvirt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"domus.dev/domus/pkg/libvirt"
)

const guestUUID = "11111111-1111-4111-8111-111111111111"

const guest = `<domain type='kvm'>
  <name>default:guest</name>
  <uuid>` + guestUUID + `</uuid>
  <metadata><mark xmlns="https://example.com/mark">hello</mark></metadata>
  <memory unit='MiB'>1024</memory>
  <vcpu>2</vcpu>
  <memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source pool='default' volume='default.root'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <serial type='pty'/>
  </devices>
</domain>`

// simulation has cells whose CPUs are not numbered in a row.
var simulation = libvirt.Simulation{
	CPUs: 8, Memory: 16 << 30,
	Cells: []libvirt.Cell{
		{
			ID: 0, CPUs: "0-1,8-9", Siblings: []string{"0,8", "1,9"}, Memory: 8 << 30,
			Pages: libvirt.Pages{Size2Mi: 1024, Size1Gi: 1}, Distances: []libvirt.Distance{{Cell: 1, Value: 21}},
		},
		{
			ID: 1, CPUs: "4-5,12-13", Siblings: []string{"4,12", "5,13"}, Memory: 8 << 30,
			Pages: libvirt.Pages{Size2Mi: 512}, Distances: []libvirt.Distance{{Cell: 0, Value: 21}},
		},
	},
	Devices:   []libvirt.Device{{Address: "0000:3b:00.0", Vendor: "10de", Product: "20b0", Cell: new(int32)}},
	CPUModels: []string{"EPYC-Rome"}, CPUFeatures: []string{"avx2"}, Firmware: []string{"bios", "efi"}, SecureBoot: true,
}

func simulate(t *testing.T) (libvirt.Host, <-chan libvirt.Event, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	host, err := libvirt.Simulate(t.TempDir(), "host", simulation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close(); cancel() })
	events := host.Events(ctx)
	next(ctx, t, events, libvirt.EventConnected)
	return host, events, ctx
}

// next waits for an event of the kind and returns it; others are passed over.
func next(ctx context.Context, t *testing.T, events <-chan libvirt.Event, kind libvirt.EventKind) libvirt.Event {
	t.Helper()
	for {
		select {
		case e := <-events:
			if e.Kind == kind {
				return e
			}
		case <-ctx.Done():
			t.Fatalf("no event %s came", kind)
		}
	}
}

func TestASimulatedHostHasWhatItsDescriptionSays(t *testing.T) {
	host, _, ctx := simulate(t)
	got, err := host.Describe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := libvirt.Description{
		Simulated: true, Arch: "x86_64", CPUs: 8, Memory: 16 << 30, Pages: libvirt.Pages{Size2Mi: 1536, Size1Gi: 1},
		Cells: simulation.Cells, Devices: simulation.Devices,
		DomainTypes: []libvirt.DomainType{{
			Type: "test", Arch: "x86_64",
			CPUModels: []string{"EPYC-Rome"}, CPUFeatures: []string{"avx2"}, Firmware: []string{"bios", "efi"}, SecureBoot: true,
		}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(libvirt.Description{}, "LibvirtVersion")); diff != "" {
		t.Error(diff)
	}
	if got.LibvirtVersion == "" {
		t.Error("the version of libvirt is missing")
	}
}

func TestADomainLivesAndDiesOnASimulatedHost(t *testing.T) {
	host, events, ctx := simulate(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := host.Domain(ctx, guestUUID); !errors.Is(err, libvirt.ErrNotFound) {
		t.Fatalf("before it is defined: %v", err)
	}

	must(host.Define(ctx, guest))
	next(ctx, t, events, libvirt.EventDefined)
	must(host.Define(ctx, guest)) // once more is no error

	must(host.Start(ctx, guestUUID))
	started := next(ctx, t, events, libvirt.EventStarted)
	if diff := cmp.Diff(libvirt.Event{Kind: libvirt.EventStarted, UUID: guestUUID, Name: "default:guest"}, started); diff != "" {
		t.Error(diff)
	}
	must(host.Start(ctx, guestUUID))

	want := []libvirt.Domain{{
		Name: "default:guest", UUID: guestUUID, ID: 1, State: libvirt.StateRunning,
		Metadata: `<mark xmlns="https://example.com/mark">hello</mark>`, CPU: 2, VCPUs: 2, Memory: 1 << 30, CurrentMemory: 1 << 30, PageSize: 2 << 20,
		Volumes: []libvirt.VolumeRef{{Pool: "default", Name: "default.root"}}, Written: []libvirt.VolumeRef{{Pool: "default", Name: "default.root"}},
		Disks:   []libvirt.Disk{{Target: "vda", Device: "disk", Bus: "virtio", Volume: libvirt.VolumeRef{Pool: "default", Name: "default.root"}}},
		Sockets: libvirt.Sockets{PCI: -1},
	}}
	got, err := host.Domains(ctx)
	must(err)
	for i := range got {
		got[i].Metadata = strings.TrimSpace(got[i].Metadata)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	free, err := host.FreePages(ctx)
	must(err)
	if diff := cmp.Diff([]libvirt.CellFree{{Cell: 0, Pages: libvirt.Pages{Size2Mi: 512, Size1Gi: 1}}, {Cell: 1, Pages: libvirt.Pages{Size2Mi: 512}}}, free); diff != "" {
		t.Error(diff)
	}

	must(host.Shutdown(ctx, guestUUID))
	next(ctx, t, events, libvirt.EventStopped)
	d, err := host.Domain(ctx, guestUUID)
	must(err)
	if d.State != libvirt.StateShutOff || d.Reason != libvirt.ReasonShutDown {
		t.Errorf("after shutdown: %s, %s", d.State, d.Reason)
	}
	must(host.Shutdown(ctx, guestUUID))
	must(host.Start(ctx, guestUUID))
	must(host.Destroy(ctx, guestUUID))
	must(host.Destroy(ctx, guestUUID))
	must(host.Undefine(ctx, guestUUID))
	next(ctx, t, events, libvirt.EventUndefined)
	must(host.Undefine(ctx, guestUUID))
	must(host.Destroy(ctx, guestUUID))
	if err := host.Start(ctx, guestUUID); !errors.Is(err, libvirt.ErrNotFound) {
		t.Errorf("starting what is not there: %v", err)
	}
}

func TestABrokenDocumentIsAnInvalidDomain(t *testing.T) {
	host, _, ctx := simulate(t)
	for name, doc := range map[string]string{
		"not XML":                  "<domain",
		"no name":                  "<domain type='test'><memory>1</memory><os><type>hvm</type></os></domain>",
		"an unknown guest feature": "<domain type='test'><name>x</name><memory>1</memory><os><type>hvm</type></os><clock offset='sideways'/></domain>",
	} {
		t.Run(name, func(t *testing.T) {
			if err := host.Define(ctx, doc); !errors.Is(err, libvirt.ErrInvalidDomain) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestANameOfAnotherDomainIsNotTaken(t *testing.T) {
	host, _, ctx := simulate(t)
	if err := host.Define(ctx, guest); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(guest, guestUUID, "22222222-2222-4222-8222-222222222222", 1)
	if err := host.Define(ctx, other); !errors.Is(err, libvirt.ErrAlreadyExists) {
		t.Errorf("got %v", err)
	}
}

func TestALibvirtThatIsAwayIsUnavailable(t *testing.T) {
	host := libvirt.Connect("qemu+unix:///system?socket=" + t.TempDir() + "/nothing")
	defer host.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := host.Domains(ctx); !errors.Is(err, libvirt.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	host, _, _ := simulate(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// A call that is answered before anybody looks at the context may succeed.
	if _, err := host.Domains(ctx); err != nil && !errors.Is(err, libvirt.ErrTimeout) {
		t.Errorf("got %v", err)
	}
}
