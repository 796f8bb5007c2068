package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// consoleLog is the file that the guest's first serial console is logged to;
// "" when the host keeps none. Kubernetes names have no underscore, so no two
// VMs share a file.
func (a *Agent) consoleLog(vm *v1alpha1.VirtualMachine) string {
	if a.config.ConsoleLogDir == "" {
		return ""
	}
	return filepath.Join(a.config.ConsoleLogDir, vm.Namespace+"_"+vm.Name+".log")
}

// removeConsoleLog removes the log of a VM that is deleted: what a later VM of
// its name says must not be mixed with it.
func (a *Agent) removeConsoleLog(vm *v1alpha1.VirtualMachine) error {
	path := a.consoleLog(vm)
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the console log of VirtualMachine %s/%s: %w", vm.Namespace, vm.Name, err)
	}
	return nil
}
