// Package disk has the commands about VirtualDisks: plugging them into VMs and out,
// and having them as files.
package disk

import (
	"cmp"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/wait"
)

// New returns `virtctl disk`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disk (attach | detach | export)",
		Short: "Plug VirtualDisks into VMs and out, or have them as files",
		Long: `Add VirtualDisks to VMs and take them away, also while their guests run: it edits
spec.disks, and waits until the guest has followed. Or have a VirtualDisk as a file.`,
		Example: `  # A VirtualDisk that exists
  virtctl disk attach web-1 data --serial=data

  # Take it away: unmount it in the guest first
  virtctl disk detach web-1 data

  # As a file
  virtctl disk export data -o data.qcow2`,
		Args:              noSuch("disk", "attach, detach or export"),
		ValidArgsFunction: cobra.NoFileCompletions, // its verbs are completed
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAttach(config, streams), newDetach(config, streams), NewExport(config, streams))
	return cmd
}

// NewCDROM returns `virtctl cdrom`.
func NewCDROM(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cdrom (insert | eject) NAME [DISK]",
		Short: "Change what is in VMs' CD-ROM drives",
		Long: `Put VirtualDisks into the CD-ROM drives of VMs, and take them out, also while their
guests run. It edits spec.disks, and waits until the guest has followed.`,
		Example: `  # Into the only drive
  virtctl cdrom insert web-1 installer

  # Out of it, also where the guest has locked the tray
  virtctl cdrom eject web-1 --force`,
		Args:              noSuch("cdrom", "insert or eject"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMedium(config, streams, "insert"), newMedium(config, streams, "eject"))
	return cmd
}

// noSuch refuses an argument that is none of the verbs.
func noSuch(verb, verbs string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return failure.Usage("virtctl %s %s: give %s", verb, args[0], verbs)
	}
}

// exactly refuses another number of arguments than there are words.
func exactly(words ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(words) {
			return nil
		}
		all := ""
		for _, word := range words {
			all += " " + word
		}
		return failure.Usage("give%s", all)
	}
}

func newAttach(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options, entry, bus := &wait.Options{}, v1alpha1.VirtualMachineDisk{}, ""
	cmd := &cobra.Command{
		Use:   "attach NAME DISK",
		Short: "Plug a VirtualDisk into a VM",
		Long: `Add a VirtualDisk to a VM. A guest that runs has it when the command is done; one
that does not has it when it is started.`,
		Example:           `  virtctl disk attach web-1 data --serial=data`,
		Args:              exactly("NAME", "DISK"),
		ValidArgsFunction: complete.OneVM(config),
		RunE: func(cmd *cobra.Command, args []string) error {
			entry.DiskName, entry.Bus = args[1], v1alpha1.DiskBus(bus)
			entry.Name = cmp.Or(entry.Name, entry.DiskName)
			return run(cmd, config, args[0], &command{edit: attach(entry), said: "added", done: "plugged in", options: options, streams: streams})
		},
	}
	cmd.Flags().StringVar(&entry.Name, "name", "", "The disk's name in spec.disks. Default: the VirtualDisk's.")
	cmd.Flags().StringVar(&bus, "bus", "", "What the guest reaches it by: virtio, scsi or usb; sata and ide need a restart. Default virtio.")
	cmd.Flags().StringVar(&entry.Serial, "serial", "", "Its serial number, as the guest sees it.")
	cmd.Flags().BoolVar(&entry.ReadOnly, "read-only", false, "Keep the guest from writing it.")
	complete.Flag(cmd, "bus", string(v1alpha1.BusVirtio), string(v1alpha1.BusSCSI), string(v1alpha1.BusUSB), string(v1alpha1.BusSATA), string(v1alpha1.BusIDE))
	options.AddFlags(cmd, true, "Wait until the guest has it.")
	return cmd
}

func newDetach(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options := &wait.Options{}
	cmd := &cobra.Command{
		Use:   "detach NAME DISK",
		Short: "Take a disk away from a VM",
		Long: `Take a disk away from a VM, by its name in spec.disks or by its VirtualDisk's. The
guest is asked to give it up: unmount it there first.`,
		Example:           `  virtctl disk detach web-1 data`,
		Args:              exactly("NAME", "DISK"),
		ValidArgsFunction: complete.OneVM(config),
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd, config, args[0], &command{edit: detach(args[1]), said: "removed", done: "unplugged", options: options, streams: streams})
		},
	}
	options.AddFlags(cmd, true, "Wait until the guest has given it up.")
	return cmd
}

func newMedium(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, verb string) *cobra.Command {
	options, drive, force, insert := &wait.Options{}, "", false, verb == "insert"
	cmd := &cobra.Command{
		Use: "eject NAME", Short: "Empty a CD-ROM drive", Long: "Empty a CD-ROM drive of a VM.",
		Example: `  virtctl cdrom eject web-1`, Args: exactly("NAME"),
		ValidArgsFunction: complete.OneVM(config),
	}
	if insert {
		cmd.Use, cmd.Short, cmd.Long = "insert NAME DISK", "Put a VirtualDisk into a CD-ROM drive", "Put a VirtualDisk into a CD-ROM drive of a VM, in place of what is in it."
		cmd.Example, cmd.Args = `  virtctl cdrom insert web-1 installer`, exactly("NAME", "DISK")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c := &command{edit: medium("", drive, force), said: "emptied", done: "is empty", options: options, streams: streams}
		if insert {
			c.edit, c.said, c.done = medium(args[1], drive, force), "has "+args[1]+" in it", "has "+args[1]+" in it"
		}
		return run(cmd, config, args[0], c)
	}
	cmd.Flags().StringVar(&drive, "drive", "", "The drive's name in spec.disks. Default: the only one.")
	cmd.Flags().BoolVar(&force, "force", false, "Do so although the guest has locked the tray.")
	options.AddFlags(cmd, true, "Wait until the guest has followed.")
	return cmd
}

func run(cmd *cobra.Command, config *genericclioptions.ConfigFlags, name string, c *command) error {
	place, err := cluster.Open(config)
	if err != nil {
		return err
	}
	return c.run(cmd.Context(), place, name)
}
