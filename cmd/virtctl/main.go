// Command virtctl manages VirtualMachines from the command line. Under the name
// kubectl-vm it is kubectl's plugin, under kubectl_complete-vm what completes it.
package main

import (
	"os"

	"domus.dev/domus/pkg/virtctl"
)

// version is set when the program is linked.
var version = "unknown"

func main() {
	os.Exit(virtctl.Main(os.Args, version, os.Stdin, os.Stdout, os.Stderr))
}
