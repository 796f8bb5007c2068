// Command vm-scheduler is kube-scheduler for VirtualMachines, with the
// controllers that keep them bound and the webhook that refuses bad ones.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"

	"domus.dev/domus/cmd/vm-scheduler/app"
)

func main() {
	os.Exit(cli.Run(app.NewCommand()))
}
