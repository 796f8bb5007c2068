package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	_ "k8s.io/component-base/logs/json/register" // a format of --logging-format, as in the programs
	kubescheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	domusdev "domus.dev/domus/cmd/domus-dev/app"
	vmexecutor "domus.dev/domus/cmd/vm-executor/app"
	vmscheduler "domus.dev/domus/cmd/vm-scheduler/app"
	"domus.dev/domus/pkg/virtctl"
)

// schedulerFlags has vm-scheduler's own flags apart from those that it takes over.
func schedulerFlags() string {
	ours, theirs := vmscheduler.NewCommand().Flags(), kubescheduler.NewSchedulerCommand().Flags()
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	ours.VisitAll(func(f *pflag.Flag) {
		if theirs.Lookup(f.Name) == nil {
			own.AddFlag(f)
		}
	})
	var out strings.Builder
	out.WriteString(generated + "# Flags of vm-scheduler\n\nThose that are its own, and those that it has of kube-scheduler, whose code it runs. Most of what can be set is in the file of `--config`: [placement](../kinds/virtualmachine.md#placement) and [plugins](../plugins/README.md).\n")
	fmt.Fprintf(&out, "\n## Its own\n\n%s", flagTable(own, nil))
	sections := options.NewOptions().Flags
	grouped := map[string]bool{}
	for _, name := range sections.Order {
		section := pflag.NewFlagSet("", pflag.ContinueOnError)
		sections.FlagSets[name].VisitAll(func(f *pflag.Flag) {
			grouped[f.Name] = true
			if mine := ours.Lookup(f.Name); mine != nil {
				section.AddFlag(mine)
			}
		})
		if section.HasFlags() {
			fmt.Fprintf(&out, "\n## kube-scheduler's: %s\n\n%s", name, flagTable(section, theirs))
		}
	}
	rest := pflag.NewFlagSet("", pflag.ContinueOnError)
	ours.VisitAll(func(f *pflag.Flag) {
		if theirs.Lookup(f.Name) != nil && !grouped[f.Name] {
			rest.AddFlag(f)
		}
	})
	fmt.Fprintf(&out, "\n## kube-scheduler's: global\n\n%s", flagTable(rest, theirs))
	return out.String()
}

func executorFlags() (string, error) {
	cmd := vmexecutor.NewCommand("")
	file, err := configTable(filepath.Join("pkg", "executor", "hostconfig"), "Configuration")
	return generated + "# Flags and file of vm-executor\n\n" + prose(cmd.Long) + "\n\n" + flagTable(cmd.Flags(), nil) +
		"\n## The file of --config\n\nIt describes one host or several, and goes beyond the flags: [hosts](../host-modes.md), [images](../images.md#for-administrators-of-hosts), [exchange of volumes](../move.md), [CNI](../cni.md#on-the-host).\n\n" + file, err
}

func virtctlFlags() string {
	root := virtctl.NewCommand("", strings.NewReader(""), io.Discard, io.Discard)
	return generated + "# Commands and flags of virtctl\n\nHow they are used is in [virtctl](../virtctl.md). The same commands are `kubectl vm`.\n" +
		"\n## Flags of every command\n\n" + flagTable(root.PersistentFlags(), nil) + commands(root, 2)
}

func domusDevFlags() string {
	root := domusdev.NewCommand("")
	return generated + "# Commands and flags of domus-dev\n\n" + prose(root.Long) +
		"\n\n## Flags of every command\n\n" + flagTable(root.PersistentFlags(), nil) + commands(root, 2)
}

// commands has a section for each command beneath parent.
func commands(parent *cobra.Command, level int) string {
	var out strings.Builder
	for _, cmd := range parent.Commands() {
		if cmd.Hidden {
			continue
		}
		fmt.Fprintf(&out, "\n%s %s\n\n", strings.Repeat("#", level), cmd.CommandPath())
		if cmd.Runnable() {
			fmt.Fprintf(&out, "`%s`\n\n", cmd.UseLine())
		}
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		out.WriteString(prose(text) + "\n")
		if len(cmd.Aliases) > 0 {
			fmt.Fprintf(&out, "\nAlso: `%s`.\n", strings.Join(cmd.Aliases, "`, `"))
		}
		if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
			out.WriteString("\n" + flagTable(flags, nil))
		}
		if cmd.Example != "" {
			fmt.Fprintf(&out, "\n```\n%s\n```\n", strings.Trim(cmd.Example, "\n"))
		}
		out.WriteString(commands(cmd, min(level+1, 4)))
	}
	return out.String()
}
