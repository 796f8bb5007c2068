package live

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Prerequisites says everything that is missing, with the remedy. bin is the
// folder of the built programs, target what make is to be asked for.
func Prerequisites(bin, target string) error {
	var wrong []error
	if os.Geteuid() != 0 {
		wrong = append(wrong, fmt.Errorf("root is needed for a host with real guests: run make %s, which uses sudo", target))
	}
	for _, tool := range []string{"libvirtd", "virsh", "qemu-system-x86_64"} {
		if _, err := exec.LookPath(tool); err != nil {
			wrong = append(wrong, fmt.Errorf("%s is missing: run make deps", tool))
		}
	}
	for _, name := range []string{"domus-dev", "vm-scheduler", "vm-executor", "virtctl", "tools/etcd", "tools/kube-apiserver", "guest/tiny.qcow2", "guest/agent.qcow2"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			wrong = append(wrong, fmt.Errorf("%w: run make build tools guest", err))
		}
	}
	return errors.Join(wrong...)
}
