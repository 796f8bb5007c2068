package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// PodNetwork is the CNI configuration that the host has from the beginning: a bridge
// of its own that leads to the host and between guests.
const PodNetwork = "pods"

// EnsureCNI gives the host of that number, from 1, a CNI configuration, unless it has
// one by that name, and shows vm-executor the way to its network namespace: that of
// its first process.
func EnsureCNI(l layout.Layout, number, pid int) error {
	if err := os.MkdirAll(l.CNI("net.d"), 0o755); err != nil {
		return fmt.Errorf("making the folder of CNI configurations: %w", err)
	}
	path := filepath.Join(l.CNI("net.d"), "10-"+PodNetwork+".conflist")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		config, err := json.MarshalIndent(podNetwork(l, number), "", "  ")
		if err == nil {
			err = os.WriteFile(path, append(config, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("writing a CNI configuration: %w", err)
		}
	}
	target, draft := filepath.Join("/proc", strconv.Itoa(pid), "ns/net"), l.HostNetwork()+".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("naming the host's network namespace: %w", err)
	}
	if err := errors.Join(os.Symlink(target, draft), os.Rename(draft, l.HostNetwork())); err != nil {
		return fmt.Errorf("naming the host's network namespace: %w", err)
	}
	return nil
}

func podNetwork(l layout.Layout, number int) map[string]any {
	return map[string]any{
		"cniVersion": "1.0.0", "name": PodNetwork,
		"plugins": []any{map[string]any{
			// In hairpin mode a guest that a Service leads back to itself is answered.
			"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
			"ipam": map[string]any{
				"type": "host-local", "dataDir": l.CNI("ipam"),
				"ranges": []any{[]any{map[string]any{"subnet": pods(number).String()}}},
				"routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	}
}

// ForgetCNI removes the guests' network namespaces of a host that has lost power: as
// mounts, they would outlive it.
func ForgetCNI(l layout.Layout) error {
	names, err := netspace.List(l.CNI("netns"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := netspace.Remove(filepath.Join(l.CNI("netns"), name)); err != nil {
			return err
		}
	}
	return nil
}
