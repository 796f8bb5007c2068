// Package snapshot makes snapshots of VMs, lists them as the tree that they are,
// restores VMs to them and deletes them.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
	"domus.dev/domus/pkg/virtctl/wait"
)

// New returns `virtctl snapshot`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Make snapshots of VMs, and bring VMs back to them",
		Long: `Make snapshots of VMs' disks, and of guests' memory; list them as the tree that they
are; bring VMs back to them, and delete them.`,
		Example: `  virtctl snapshot create web-1 --name=before-upgrade
  virtctl snapshot list web-1
  virtctl snapshot restore before-upgrade --discard-running`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCreate(config, streams), newList(config, streams), newRestore(config, streams), newDelete(config, streams))
	return cmd
}

var policies = complete.ChoicesOf(v1alpha1.QuiesceIfPossible, v1alpha1.QuiesceRequire, v1alpha1.QuiesceNever)

func newCreate(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options, name, memory, quiesce, description := &wait.Options{}, "", false, "", ""
	cmd := &cobra.Command{
		Use:   "create VM",
		Short: "Make a snapshot of a VM's disks, and of its memory if asked",
		Long: `Make a snapshot of a VM's disks. A guest that runs is not halted for it; its agent
brings its file systems to rest where there is one. With --memory the guest stands
still while its memory is written, and goes on from there when it is restored.`,
		Example: `  # The disks of web-1, under a name of its own
  virtctl snapshot create web-1

  # With memory, before an upgrade
  virtctl snapshot create web-1 --name=before-upgrade --memory`,
		Args:              cluster.OneName,
		ValidArgsFunction: complete.OneVM(config),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(policies.Check("quiesce", quiesce), options.Check()); err != nil {
				return err
			}
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			vm, err := place.One(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			s := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: vm.Namespace, Name: name}}
			if name == "" {
				s.GenerateName = vm.Name + "-"
			}
			s.Spec = v1alpha1.VirtualMachineSnapshotSpec{VirtualMachineName: vm.Name, Quiesce: v1alpha1.QuiescePolicy(quiesce), Description: description}
			if memory {
				s.Spec.Memory = v1alpha1.SnapshotMemoryInternal
			}
			if err := place.Client.Create(cmd.Context(), s); err != nil {
				return failure.API(err, "creating a snapshot of virtualmachine %s", vm.Name)
			}
			if !options.Wait {
				_, err := fmt.Fprintf(streams.Out, "virtualmachinesnapshot/%s created\n", s.Name)
				return err
			}
			made, err := follow(cmd.Context(), place.Client, s, options, streams.ErrOut, func(now *v1alpha1.VirtualMachineSnapshot, gone bool) (bool, error) {
				switch {
				case gone:
					return true, fmt.Errorf("virtualmachinesnapshot %s was deleted before it was made", s.Name)
				case now.Status.Phase == v1alpha1.SnapshotFailed:
					return true, failure.Refused("virtualmachinesnapshot %s failed: %s; delete it with `virtctl snapshot delete %s`", s.Name, said(now), s.Name)
				}
				return now.Status.Phase == v1alpha1.SnapshotReady, nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "virtualmachinesnapshot/%s is ready (%s)\n", made.Name, output.Safe(message(made, v1alpha1.ConditionQuiesced)))
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "The snapshot's name; one is made up when it is not given.")
	cmd.Flags().BoolVar(&memory, "memory", false, "Take the guest's memory too, which halts it meanwhile.")
	cmd.Flags().StringVar(&quiesce, "quiesce", string(v1alpha1.QuiesceIfPossible), "Whether the guest's agent brings its file systems to rest: "+policies.String()+".")
	cmd.Flags().StringVar(&description, "description", "", "A word for people.")
	policies.Complete(cmd, "quiesce")
	for _, flag := range []string{"name", "description"} {
		complete.Flag(cmd, flag)
	}
	options.AddFlags(cmd, true, "Wait until it is made.")
	return cmd
}

func newRestore(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options, restore := &wait.Options{}, v1alpha1.Restore{}
	cmd := &cobra.Command{
		Use:   "restore SNAPSHOT",
		Short: "Bring a VM back to a snapshot",
		Long: `Bring a VM's disks, and its memory where that is in it, back to a snapshot. What is
on the disks now, and in no snapshot, is lost. A guest that runs, or whose memory is
saved, is not: that is refused without --discard-running.`,
		Example: `  # The VM is stopped
  virtctl snapshot restore before-upgrade

  # It runs, and is switched off first
  virtctl snapshot restore before-upgrade --discard-running`,
		Args:              oneSnapshot,
		ValidArgsFunction: names(config),
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			s, err := find(cmd.Context(), place, args[0])
			if err != nil {
				return err
			}
			restore.SnapshotName = s.Name
			request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{Type: v1alpha1.OperationRestore, Restore: &restore}, options.Timeout, 0)
			if err != nil {
				return err
			}
			outcome, err := request.OnOne(cmd.Context(), config, streams, s.Spec.VirtualMachineName, options.Wait)
			if err != nil {
				return err
			}
			if !options.Wait {
				_, err := fmt.Fprintf(streams.Out, "virtualmachineoperation/%s created\n", outcome.Operation.Name)
				return err
			}
			return operation.Tell(streams.Out, outcome, "restored")
		},
	}
	cmd.Flags().BoolVar(&restore.DiscardRunning, "discard-running", false, "Switch a guest off that runs, and throw saved memory away.")
	cmd.Flags().BoolVar(&restore.WithoutMemory, "without-memory", false, "Leave the snapshot's memory alone: the guest boots from the disks.")
	options.AddFlags(cmd, true, "Wait until it is done.")
	return cmd
}

func newDelete(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options := &wait.Options{}
	cmd := &cobra.Command{
		Use:               "delete SNAPSHOT",
		Short:             "Delete a snapshot; others, and the disks, stay as they are",
		Example:           `  virtctl snapshot delete before-upgrade`,
		Args:              oneSnapshot,
		ValidArgsFunction: names(config),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := options.Check(); err != nil {
				return err
			}
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			s, err := find(cmd.Context(), place, args[0])
			if err != nil {
				return err
			}
			if err := place.Client.Delete(cmd.Context(), s, client.Preconditions{UID: &s.UID}); err != nil {
				return failure.API(err, "deleting virtualmachinesnapshot %s", s.Name)
			}
			word := "deleted"
			if !options.Wait {
				word = "is being deleted"
			} else if _, err := follow(cmd.Context(), place.Client, s, options, streams.ErrOut, func(_ *v1alpha1.VirtualMachineSnapshot, gone bool) (bool, error) { return gone, nil }); err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "virtualmachinesnapshot/%s %s\n", s.Name, word)
			return err
		},
	}
	options.AddFlags(cmd, true, "Wait until nothing of it is left.")
	return cmd
}

// oneSnapshot refuses all but one name.
func oneSnapshot(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return failure.Usage("name one snapshot: `virtctl snapshot list` shows those that there are")
	}
	return nil
}

// names completes names of snapshots.
func names(config *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		place, err := cluster.Open(config)
		list := &v1alpha1.VirtualMachineSnapshotList{}
		if err != nil || len(given) > 0 || place.Client.List(cmd.Context(), list, client.InNamespace(place.Namespace)) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// find returns the snapshot of a name, given as NAME or vmsnap/NAME.
func find(ctx context.Context, place *cluster.Place, given string) (*v1alpha1.VirtualMachineSnapshot, error) {
	name := given
	if kind, rest, is := strings.Cut(given, "/"); is {
		if kind != "vmsnap" && !strings.HasPrefix(kind, "virtualmachinesnapshot") {
			return nil, failure.Usage("%q is no snapshot: name it as NAME or vmsnap/NAME", given)
		}
		name = rest
	}
	s := &v1alpha1.VirtualMachineSnapshot{}
	if err := place.Client.Get(ctx, client.ObjectKey{Namespace: place.Namespace, Name: name}, s); err != nil {
		return nil, failure.API(err, "reading virtualmachinesnapshot %s", name)
	}
	return s, nil
}

// follow watches a snapshot until seen says that it is enough.
func follow(ctx context.Context, c client.WithWatch, s *v1alpha1.VirtualMachineSnapshot, options *wait.Options, errOut io.Writer, seen func(now *v1alpha1.VirtualMachineSnapshot, gone bool) (bool, error)) (*v1alpha1.VirtualMachineSnapshot, error) {
	ctx, cancel := options.Limit(ctx)
	defer cancel()
	progress := output.NewProgress(errOut)
	defer progress.Stop()
	last := s
	at := client.ListOptions{Namespace: s.Namespace, FieldSelector: fields.OneTermEqualSelector("metadata.name", s.Name)}
	err := cluster.Follow(ctx, c, &v1alpha1.VirtualMachineSnapshotList{}, &v1alpha1.VirtualMachineSnapshot{}, at, cluster.Follower{
		Synced: func(there []client.Object) (bool, error) {
			if len(there) == 0 {
				return seen(last, true)
			}
			return false, nil
		},
		Changed: func(obj client.Object, gone bool) (bool, error) {
			now, is := obj.(*v1alpha1.VirtualMachineSnapshot)
			if !is || now.UID != s.UID {
				return false, nil
			}
			last = now
			progress.Say(s.Name + ": " + output.Safe(said(now)))
			return seen(now, gone)
		},
	})
	if wait.TimedOut(err) {
		return nil, failure.TimedOut("virtualmachinesnapshot %s is %s after %s: %s: --timeout gives it longer, and it goes on meanwhile", s.Name, last.Status.Phase, options.Timeout, said(last))
	}
	return last, err
}

// said is what the host says of a snapshot.
func said(s *v1alpha1.VirtualMachineSnapshot) string {
	text := string(s.Status.Phase)
	if m := message(s, v1alpha1.ConditionSnapshotReady); m != "" {
		text += ": " + m
	}
	if s.Status.Phase == v1alpha1.SnapshotCreating && s.Status.MemoryBytes > 0 {
		text += fmt.Sprintf(" (%d MiB of memory written)", s.Status.MemoryBytes>>20)
	}
	return output.Safe(text)
}

func message(s *v1alpha1.VirtualMachineSnapshot, kind string) string {
	for i := range s.Status.Conditions {
		if s.Status.Conditions[i].Type == kind {
			return s.Status.Conditions[i].Message
		}
	}
	return ""
}
