// vm-executor looks after the guests of a host: it reports what the host has,
// and runs the VirtualMachines that are bound to it on the host's libvirt.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json

	"domus.dev/domus/cmd/vm-executor/app"
)

// version is set when the program is linked.
var version = "unknown"

func main() {
	os.Exit(cli.Run(app.NewCommand(version)))
}
