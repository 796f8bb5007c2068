// Package virtctl is the command line of Domus. Each folder beneath it holds a
// verb, or verbs that differ by one word, or what verbs share.
package virtctl

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/completion"
	"domus.dev/domus/pkg/virtctl/convert"
	"domus.dev/domus/pkg/virtctl/describe"
	"domus.dev/domus/pkg/virtctl/disk"
	"domus.dev/domus/pkg/virtctl/explain"
	"domus.dev/domus/pkg/virtctl/export"
	"domus.dev/domus/pkg/virtctl/fit"
	"domus.dev/domus/pkg/virtctl/get"
	"domus.dev/domus/pkg/virtctl/host"
	"domus.dev/domus/pkg/virtctl/image"
	"domus.dev/domus/pkg/virtctl/importer"
	"domus.dev/domus/pkg/virtctl/password"
	"domus.dev/domus/pkg/virtctl/placementmap"
	"domus.dev/domus/pkg/virtctl/power"
	"domus.dev/domus/pkg/virtctl/restart"
	"domus.dev/domus/pkg/virtctl/screenshot"
	"domus.dev/domus/pkg/virtctl/sendkey"
	"domus.dev/domus/pkg/virtctl/snapshot"
	"domus.dev/domus/pkg/virtctl/sshkey"
	"domus.dev/domus/pkg/virtctl/top"
	"domus.dev/domus/pkg/virtctl/version"
	"domus.dev/domus/pkg/virtctl/wait"
)

// Groups of verbs, as the help shows them.
const (
	life  = "life"
	look  = "look"
	reach = "reach"
	place = "place"
	files = "files"
)

// NewCommand returns the root command. It understands kubectl's flags for
// kubeconfig, context and namespace.
func NewCommand(programVersion string, in io.Reader, out, errOut io.Writer) *cobra.Command {
	return newCommand(virtctlItself, programVersion, in, out, errOut)
}

func newCommand(as program, programVersion string, in io.Reader, out, errOut io.Writer) *cobra.Command {
	config := genericclioptions.NewConfigFlags(true)
	streams := genericiooptions.IOStreams{In: in, Out: out, ErrOut: errOut}
	root := &cobra.Command{
		Use:           "virtctl COMMAND",
		Short:         "Manage VirtualMachines",
		Long:          "Manage VirtualMachines: have them run and stop, see how they are, and reach their\nguests.\n\nExit codes: 0 done, 1 error, 2 wrong command line, 3 no such VM, 4 timed out,\n5 refused, 6 some of several failed.",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: as.display},
		SilenceUsage:  true,
		SilenceErrors: true,
		// Args and RunE so that an unknown command is an error of ours.
		Args:                       unknownCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	config.AddFlags(root.PersistentFlags())
	complete.Scope(root, config)
	root.AddGroup(
		&cobra.Group{ID: life, Title: "A VM's life:"},
		&cobra.Group{ID: look, Title: "How VMs are:"},
		&cobra.Group{ID: reach, Title: "Reaching the guest:"},
		&cobra.Group{ID: place, Title: "Placement:"},
		&cobra.Group{ID: files, Title: "From libvirt and back:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
		}
		root.AddCommand(commands...)
	}
	add(life,
		power.NewStart(config, streams),
		power.NewStop(config, streams),
		restart.NewRestart(config, streams),
		restart.NewReset(config, streams),
		power.NewPause(config, streams),
		power.NewResume(config, streams),
		power.NewSuspend(config, streams),
		snapshot.New(config, streams),
		wait.New(config, streams),
		disk.New(config, streams),
		disk.NewCDROM(config, streams),
		image.New(config, streams),
	)
	add(look,
		get.New(config, streams),
		describe.New(config, streams),
		top.New(config, streams),
	)
	add(reach,
		screenshot.New(config, streams),
		sendkey.New(config, streams),
		password.New(config, streams),
		sshkey.New(config, streams),
	)
	add(place,
		explain.New(config, streams),
		fit.New(config, streams),
		placementmap.New(config, streams),
	)
	add(files,
		convert.New(streams),
		importer.New(config, streams),
		export.New(config, streams),
	)
	add("",
		host.New(config, streams),
		completion.New(as.plugin, streams),
		version.New(programVersion, config, streams),
	)
	as.adapt(root)
	return root
}
