package libvirt

import (
	"errors"
	"testing"
	"time"
)

func TestKVMIsChosenWhenItIsWorthIt(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		// What the trials take, one after the other; 0 is one that does not get
		// through its firmware.
		hardware, emulated []time.Duration
		want               string
	}{
		"as fast as emulation through the firmware": {hardware: []time.Duration{100 * ms}, emulated: []time.Duration{120 * ms}, want: "kvm"},
		"slow because the host is loaded":           {hardware: []time.Duration{3000 * ms}, emulated: []time.Duration{4000 * ms}, want: "kvm"},
		"within the noise":                          {hardware: []time.Duration{900 * ms}, emulated: []time.Duration{50 * ms}, want: "kvm"},
		"far slower than emulation":                 {hardware: []time.Duration{5000 * ms}, emulated: []time.Duration{100 * ms}, want: "qemu"},
		"slower by less, and emulation as slow":     {hardware: []time.Duration{3360 * ms}, emulated: []time.Duration{690 * ms}, want: "qemu"},
		"held up once":                              {hardware: []time.Duration{3000 * ms, 150 * ms}, emulated: []time.Duration{1500 * ms, 1500 * ms}, want: "kvm"},
		"held up twice":                             {hardware: []time.Duration{3000 * ms, 0, 150 * ms}, emulated: []time.Duration{1500 * ms, 1500 * ms, 1500 * ms}, want: "kvm"},
		"emulation was held up":                     {hardware: []time.Duration{6900 * ms, 3400 * ms}, emulated: []time.Duration{3400 * ms, 700 * ms}, want: "qemu"},
		"never as fast":                             {hardware: []time.Duration{4000 * ms, 3900 * ms, 3500 * ms}, emulated: []time.Duration{3400 * ms, 3300 * ms, 3200 * ms}, want: "qemu"},
		"stuck in the firmware":                     {hardware: []time.Duration{0}, emulated: []time.Duration{100 * ms}, want: "qemu"},
		"neither gets through it":                   {hardware: []time.Duration{0}, emulated: []time.Duration{0}, want: "qemu"},
		"nothing to compare with":                   {hardware: []time.Duration{5000 * ms}, emulated: []time.Duration{0}, want: "kvm"},
	} {
		t.Run(name, func(t *testing.T) {
			left := map[string][]time.Duration{DomainTypeKVM: c.hardware, DomainTypeQEMU: c.emulated}
			got, err := compare(func(kind string, limit time.Duration) (time.Duration, error) {
				if len(left[kind]) == 0 {
					t.Fatalf("%s was tried once more", kind)
				}
				took := left[kind][0]
				left[kind] = left[kind][1:]
				if took == 0 || took > limit {
					return 0, errTrialFailed
				}
				return took, nil
			})
			if err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			if n := len(left[DomainTypeKVM]); n > 0 {
				t.Errorf("it was sure %d trials too early", n)
			}
		})
	}
	lost := errors.New("libvirtd is away")
	if got, err := compare(func(string, time.Duration) (time.Duration, error) { return 0, lost }); !errors.Is(err, lost) {
		t.Errorf("got %s, %v", got, err)
	}
}
