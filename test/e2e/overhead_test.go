package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// manyDevices are what a guest has beside its disk.
var manyDevices = map[string]any{
	"interfaces": []any{
		map[string]any{"source": map[string]any{"user": map[string]any{}}, "model": map[string]any{"type": "virtio"}},
		map[string]any{"source": map[string]any{"user": map[string]any{}}, "model": map[string]any{"type": "e1000"}},
	},
	"graphics": []any{map[string]any{"vnc": map[string]any{}}},
	"videos":   []any{map[string]any{"model": map[string]any{"type": "vga"}}},
	"inputs":   []any{map[string]any{"type": "tablet", "bus": "usb"}},
	"rngs":     []any{map[string]any{"model": "virtio", "backend": map[string]any{"builtIn": true}}},
}

// TestOverheadIsWhatQEMUTakes holds the formula of docs/overhead.md against
// real processes: too low, hosts run out of memory; too high, they stand empty.
func TestOverheadIsWhatQEMUTakes(t *testing.T) {
	for name, devices := range map[string]map[string]any{
		"overhead-plain":   {},
		"overhead-devices": manyDevices,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			vm := newGuest(t, name)
			vm.Spec.Domain = withDevices(t, vm.Spec.Domain, devices)
			create(t, vm)
			g.Eventually(func() string { return env.console(name) }).WithTimeout(bootTime).Should(ContainSubstring(banner))
			g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
			vm, err := get(t, name)()
			g.Expect(err).NotTo(HaveOccurred())

			process := qemu(vm.Status.Host.DomainUUID)
			g.Expect(process).NotTo(BeZero())
			taken := residentBesideGuest(t, process)
			granted := vm.Status.Placement.Granted.Overhead
			t.Logf("QEMU takes %d MiB and was granted %d MiB", taken>>20, granted>>20)
			g.Expect(taken).To(BeNumerically("<=", granted))
			g.Expect(taken).To(BeNumerically(">=", granted/3))
			g.Expect(env.Delete(t.Context(), vm)).To(Succeed())
		})
	}
}

// withDevices adds devices to a domain.
func withDevices(t *testing.T, domain *runtime.RawExtension, devices map[string]any) *runtime.RawExtension {
	t.Helper()
	var doc struct {
		Devices map[string]any `json:"devices"`
	}
	if err := json.Unmarshal(domain.Raw, &doc); err != nil {
		t.Fatal(err)
	}
	for kind, list := range devices {
		doc.Devices[kind] = list
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &runtime.RawExtension{Raw: raw}
}

// backend finds the sizes of guest memory on a command line of QEMU.
var backend = regexp.MustCompile(`"qom-type":"memory-backend-[^}]*"size":([0-9]+)`)

// residentBesideGuest is how many bytes of a QEMU process are resident beside
// guest memory, which is one mapping for each backend and known by its size.
func residentBesideGuest(t *testing.T, pid int) int64 {
	t.Helper()
	guest := map[int64]int{}
	for _, match := range backend.FindAllStringSubmatch(commandLine(pid), -1) {
		size, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		guest[size]++
	}
	if len(guest) == 0 {
		t.Fatalf("process %d has no memory backend: %s", pid, commandLine(pid))
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	isGuest := false
	for line := range strings.Lines(string(content)) {
		var kib int64
		switch {
		case scan(line, "Size: %d kB", &kib):
			isGuest = guest[kib<<10] > 0
			if isGuest {
				guest[kib<<10]--
			}
		case scan(line, "Rss: %d kB", &kib) && !isGuest:
			sum += kib << 10
		}
	}
	for size, missing := range guest {
		if missing > 0 {
			t.Fatalf("process %d has no mapping of %d bytes for guest memory", pid, size)
		}
	}
	return sum
}

// scan reads a line of that format.
func scan[N int | int64](line, format string, into *N) bool {
	n, err := fmt.Sscanf(line, format, into)
	return n == 1 && err == nil
}
