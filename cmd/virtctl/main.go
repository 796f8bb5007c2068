// Command virtctl manages VirtualMachines from the command line. Named
// kubectl-vm it is `kubectl vm`.
package main

import (
	"os"

	"k8s.io/component-base/cli"

	"domus.dev/domus/pkg/virtctl"
)

// version is set when the program is linked.
var version = "unknown"

func main() { os.Exit(cli.RunNoErrOutput(virtctl.NewCommand(version, os.Stdin, os.Stdout, os.Stderr))) }
