// Command virtctl manages VirtualMachines from the command line.
package main

import (
	"os"

	"domus.dev/domus/pkg/virtctl"
)

// version is set when the program is linked.
var version = "unknown"

func main() {
	if err := virtctl.NewCommand(version, os.Stdin, os.Stdout, os.Stderr).Execute(); err != nil {
		os.Exit(1)
	}
}
