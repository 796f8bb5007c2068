package libvirt_test

import (
	"errors"
	"strings"
	"testing"

	"domus.dev/domus/pkg/libvirt"
)

// growing is a guest that was started for more than it has.
const growing = `<domain type='kvm'>
  <name>default:growing</name>
  <uuid>` + guestUUID + `</uuid>
  <metadata><m:mark xmlns:m="https://example.com/mark" size="1"/><other xmlns="https://example.com/other"/></metadata>
  <memory unit='MiB'>2048</memory>
  <currentMemory unit='MiB'>512</currentMemory>
  <vcpu current='2'>6</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
</domain>`

func TestAGuestGrows(t *testing.T) {
	host, _, ctx := simulate(t)
	look := func() libvirt.Domain {
		t.Helper()
		d, err := host.Domain(ctx, guestUUID)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	has := func(when string, cpus, memory int64) {
		t.Helper()
		if d := look(); d.VCPUs != cpus || d.CurrentMemory != memory<<20 || d.CPU != 6 || d.Memory != 2048<<20 {
			t.Errorf("%s: %d of %d vCPUs, %d of %d bytes", when, d.VCPUs, d.CPU, d.CurrentMemory, d.Memory)
		}
	}
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	if err := host.SetVCPUs(ctx, guestUUID, 3); !errors.Is(err, libvirt.ErrNotFound) {
		t.Errorf("no domain: %v", err)
	}
	must(host.Define(ctx, growing))
	must(host.SetVCPUs(ctx, guestUUID, 4), host.SetMemory(ctx, guestUUID, 1024<<20))
	has("before it runs it is left as it is", 2, 512)

	must(host.Start(ctx, guestUUID))
	has("started", 2, 512)
	for range 2 {
		must(host.SetVCPUs(ctx, guestUUID, 4), host.SetMemory(ctx, guestUUID, 1024<<20-1))
		has("grown", 4, 1024)
	}
	must(host.SetVCPUs(ctx, guestUUID, 1))
	has("no vCPU is ever taken away", 4, 1024)
	must(host.SetMemory(ctx, guestUUID, 256<<20))
	has("it gives memory back", 4, 256)
	if err := host.SetVCPUs(ctx, guestUUID, 7); err == nil {
		t.Error("it was given more vCPUs than it was started for")
	}
	if err := host.SetMemory(ctx, guestUUID, 4<<30); err == nil {
		t.Error("it was given more memory than it was started for")
	}

	marked := func(size string) {
		t.Helper()
		must(host.SetMetadata(ctx, guestUUID, `<mark size="`+size+`"><more/></mark>`, "m", "https://example.com/mark"))
		got := look().Metadata
		if strings.Count(got, "mark ") != 1 || !strings.Contains(got, `<m:mark xmlns:m="https://example.com/mark" size="`+size+`">`) ||
			!strings.Contains(got, "<m:more") || !strings.Contains(got, "https://example.com/other") {
			t.Errorf("metadata: %s", got)
		}
	}
	marked("2")
	marked("3")
	must(host.Destroy(ctx, guestUUID))
	has("what it has grown to it is started with", 4, 256)
	marked("4")
}
