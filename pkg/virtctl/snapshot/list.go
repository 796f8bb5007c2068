package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

func newList(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:     "list [VM]",
		Aliases: []string{"ls"},
		Short:   "List snapshots, as the tree that they are",
		Long: `List the snapshots of a VM, or of all: each beneath the one that its disks were
based on. * stands at the one that the disks are based on now.`,
		Example:           `  virtctl snapshot list web-1`,
		Args:              cluster.AtMostOneName,
		ValidArgsFunction: complete.OneVM(config),
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			return list(cmd.Context(), place, args, streams, time.Now())
		},
	}
}

func list(ctx context.Context, place *cluster.Place, args []string, streams genericiooptions.IOStreams, now time.Time) error {
	found := &v1alpha1.VirtualMachineSnapshotList{}
	if err := place.Client.List(ctx, found, client.InNamespace(place.Namespace)); err != nil {
		return failure.API(err, "listing virtualmachinesnapshots")
	}
	of := ""
	if len(args) == 1 {
		name, err := cluster.Name(args[0])
		if err != nil {
			return err
		}
		of = name
	}
	rows := tree(found.Items, of, now)
	if len(rows) == 0 {
		_, err := fmt.Fprintf(streams.ErrOut, "No virtualmachinesnapshots found in namespace %s.\n", place.Namespace)
		return err
	}
	return output.Table(streams.Out, []string{"VM", "SNAPSHOT", "PHASE", "MEMORY", "QUIESCED", "CREATED", "SAYS"}, rows)
}

// tree returns the rows of the snapshots of a VM, of all when of is empty: each after
// the one that it is based on, and further in.
func tree(all []v1alpha1.VirtualMachineSnapshot, of string, now time.Time) (rows [][]string) {
	type node struct{ vm, name string }
	there := map[node]bool{}
	for i := range all {
		there[node{all[i].Spec.VirtualMachineName, all[i].Name}] = true
	}
	children := map[node][]*v1alpha1.VirtualMachineSnapshot{}
	for i := range all {
		s := &all[i]
		if of != "" && s.Spec.VirtualMachineName != of {
			continue
		}
		parent := node{s.Spec.VirtualMachineName, s.Status.ParentName}
		if !there[parent] || s.Status.ParentName == s.Name {
			parent = node{}
		}
		children[parent] = append(children[parent], s)
	}
	seen := map[string]bool{}
	var walk func(at node, indent string)
	walk = func(at node, indent string) {
		below := children[at]
		slices.SortFunc(below, func(a, b *v1alpha1.VirtualMachineSnapshot) int {
			return cmp.Or(cmp.Compare(a.Spec.VirtualMachineName, b.Spec.VirtualMachineName), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		for _, s := range below {
			if seen[s.Name] {
				continue
			}
			seen[s.Name] = true
			rows = append(rows, row(s, indent, now))
			walk(node{s.Spec.VirtualMachineName, s.Name}, indent+"  ")
		}
	}
	walk(node{}, "")
	for i := range all {
		// A ring has no root, and is shown all the same.
		if s := &all[i]; !seen[s.Name] && (of == "" || s.Spec.VirtualMachineName == of) {
			seen[s.Name] = true
			rows = append(rows, row(s, "", now))
			walk(node{s.Spec.VirtualMachineName, s.Name}, "  ")
		}
	}
	return rows
}

func row(s *v1alpha1.VirtualMachineSnapshot, indent string, now time.Time) []string {
	name, memory, quiesced, created, says := indent+output.Safe(s.Name), "no", "-", "-", ""
	if s.Status.Current {
		name += " *"
	}
	if s.WantsMemory() {
		memory = "yes"
		if s.Status.MemoryBytes > 0 {
			memory = fmt.Sprintf("%d MiB", s.Status.MemoryBytes>>20)
		}
	}
	for i := range s.Status.Conditions {
		switch c := &s.Status.Conditions[i]; {
		case c.Type == v1alpha1.ConditionQuiesced && c.Status == metav1.ConditionTrue:
			quiesced = "yes"
		case c.Type == v1alpha1.ConditionQuiesced:
			quiesced = "no: " + c.Reason
		case c.Type == v1alpha1.ConditionSnapshotReady && c.Status != metav1.ConditionTrue:
			says = c.Reason + ": " + c.Message
		}
	}
	if s.Status.CreatedAt != nil {
		created = duration.HumanDuration(now.Sub(s.Status.CreatedAt.Time)) + " ago"
	}
	return []string{output.Safe(s.Spec.VirtualMachineName), name, string(s.Status.Phase), memory, output.Safe(quiesced), created, output.Safe(says)}
}
