package libvirt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Settings and values of a domain type.
const (
	// DomainTypeAuto is a setting: KVM where a trial boot shows that it works.
	DomainTypeAuto = "auto"
	// DomainTypeKVM is hardware virtualization.
	DomainTypeKVM = "kvm"
	// DomainTypeQEMU is emulation.
	DomainTypeQEMU = "qemu"
)

const (
	// probeTimeout is far above what a PC firmware takes to find that there is
	// nothing to boot: about 0.1 s emulated on a 2.4 GHz core.
	probeTimeout = 10 * time.Second
	// A KVM that only just works (nested without hardware support, seen to take 3.3
	// to 9 s where emulation took 0.7 to 3.4 s) is worse than emulation, and operating
	// systems do not boot under it. Up to probeGrace is noise.
	probeGrace = time.Second
	// What takes up to probeDoubt times as long as emulation may have been held up by
	// other work: both are tried again, probeTrials times in all, and the shortest
	// times count.
	probeDoubt  = 3
	probeTrials = 3
)

// probe remembers what the trial boot showed; it holds for the process's life.
type probe struct {
	mu     sync.Mutex
	result string
}

// DomainType implements Host. Capabilities alone do not tell whether KVM works:
// libvirt lists kvm wherever /dev/kvm is there.
func (c *connection) DomainType(ctx context.Context, setting string) (string, error) {
	if setting != DomainTypeAuto {
		return setting, nil
	}
	c.probe.mu.Lock()
	defer c.probe.mu.Unlock()
	if c.probe.result != "" {
		return c.probe.result, nil
	}
	d, err := c.Describe(ctx)
	if err != nil {
		return "", fmt.Errorf("finding out whether KVM works: %w", err)
	}
	result, err := c.choose(ctx, d)
	if err != nil {
		return "", fmt.Errorf("finding out whether KVM works: %w", err)
	}
	c.probe.result = result
	return result, nil
}

func (c *connection) choose(ctx context.Context, d Description) (string, error) {
	offered := func(kind string) bool {
		for _, t := range d.DomainTypes {
			if t.Type == kind && t.Arch == d.Arch {
				return true
			}
		}
		return false
	}
	if !offered(DomainTypeKVM) {
		if len(d.DomainTypes) > 0 && !offered(DomainTypeQEMU) {
			return d.DomainTypes[0].Type, nil
		}
		return DomainTypeQEMU, nil
	}
	if !offered(DomainTypeQEMU) || d.Arch != "x86_64" {
		// Nothing to compare with, or no firmware that starts without a file.
		return DomainTypeKVM, nil
	}
	return compare(func(kind string, limit time.Duration) (time.Duration, error) {
		return c.trial(ctx, kind, d.Arch, limit)
	})
}

// compare tries both until there is no doubt which one is to be had, or for as often
// as is worth it.
func compare(try func(kind string, limit time.Duration) (time.Duration, error)) (string, error) {
	var emulated, hardware fastest
	for n := 1; ; n++ {
		if err := emulated.next(try(DomainTypeQEMU, probeTimeout)); err != nil {
			return "", err
		}
		// What takes longer is not waited for: it leaves no doubt.
		limit := probeTimeout
		if emulated > 0 {
			limit = min(limit, max(probeGrace, probeDoubt*time.Duration(emulated)))
		}
		if err := hardware.next(try(DomainTypeKVM, limit)); err != nil {
			return "", err
		}
		if kind, sure := judge(hardware, emulated); sure || n == probeTrials {
			return kind, nil
		}
	}
}

// fastest is the shortest of several trials; 0 while none has come to its end.
type fastest time.Duration

// next takes over how a trial ended; an error is one that says nothing of the guest.
func (f *fastest) next(took time.Duration, err error) error {
	switch {
	case errors.Is(err, errTrialFailed):
		return nil
	case err != nil:
		return err
	case *f == 0 || took < time.Duration(*f):
		*f = fastest(took)
	}
	return nil
}

// judge chooses by how long the firmware took under KVM and emulated, and says whether
// that leaves no doubt.
func judge(hardware, emulated fastest) (kind string, sure bool) {
	switch {
	case hardware == 0:
		return DomainTypeQEMU, true
	case emulated == 0, hardware <= fastest(probeGrace), hardware <= emulated:
		return DomainTypeKVM, true
	}
	return DomainTypeQEMU, hardware > probeDoubt*emulated
}

var errTrialFailed = errors.New("the trial guest did not get through its firmware")

// trial boots a transient guest that has nothing to boot and whose firmware
// therefore resets it at once, which ends it, and returns how long that took. After
// limit it has failed.
func (c *connection) trial(ctx context.Context, kind, arch string, limit time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit+callTimeout)
	defer cancel()
	id := uuid.NewString()
	doc, err := trialDomain(id, kind, arch)
	if err != nil {
		return 0, err
	}
	events := c.stream.read(ctx)
	_, err = call(ctx, c, "trying whether a "+kind+" guest boots", func(conn *lv.Connect) (struct{}, error) {
		d, err := conn.DomainCreateXML(doc, lv.DOMAIN_START_AUTODESTROY)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, d.Free()
	})
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTimeout) {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errTrialFailed, err)
	}
	defer func() {
		// Usually gone by itself; auto-destroy ends it with the connection.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		_ = c.Destroy(end, id)
	}()
	began := time.Now()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		select {
		case e, open := <-events:
			switch {
			case !open:
				return 0, timedOut(ctx, "waiting for the trial guest")
			case e.Kind == EventLost:
				return 0, unavailable("waiting for the trial guest", "the connection was lost")
			case e.UUID != id || e.Kind != EventStopped:
			case e.Reason == ReasonShutDown:
				return time.Since(began), nil
			default:
				return 0, fmt.Errorf("%w: it %s", errTrialFailed, e.Reason)
			}
		case <-timeout.C:
			return 0, fmt.Errorf("%w within %s", errTrialFailed, limit)
		}
	}
}

func trialDomain(id, kind, arch string) (string, error) {
	atOnce := 0
	d := libvirtxml.Domain{
		Type: kind, Name: "domus-trial-" + id, UUID: id,
		Memory: &libvirtxml.DomainMemory{Value: 64, Unit: "MiB"},
		VCPU:   &libvirtxml.DomainVCPU{Value: 1},
		OS: &libvirtxml.DomainOS{
			Type: &libvirtxml.DomainOSType{Type: "hvm", Arch: arch},
			BIOS: &libvirtxml.DomainBIOS{RebootTimeout: &atOnce},
		},
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		OnPoweroff: "destroy", OnReboot: "destroy", OnCrash: "destroy",
		Devices: &libvirtxml.DomainDeviceList{MemBalloon: &libvirtxml.DomainMemBalloon{Model: "none"}},
	}
	return d.Marshal()
}
