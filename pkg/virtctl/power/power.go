// Package power holds the verbs that set a VM's desired power state.
package power

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
)

// verb is a word for a power state.
type verb struct {
	name, short, already, done string
	state                      v1alpha1.PowerState
}

// NewStart returns `virtctl start NAME...`.
func NewStart(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(verb{
		name: "start", short: "Ask that VMs run", state: v1alpha1.PowerRunning,
		already: "is asked to run already", done: "is asked to run",
	}, config, streams)
}

// NewStop returns `virtctl stop NAME...`.
func NewStop(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(verb{
		name: "stop", short: "Ask that VMs shut down; they keep their hosts", state: v1alpha1.PowerStopped,
		already: "is asked to be stopped already", done: "is asked to shut down",
	}, config, streams)
}

func newCommand(v verb, config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   v.name + " NAME...",
		Short: v.short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			namespace, _, err := config.ToRawKubeConfigLoader().Namespace()
			if err != nil {
				return fmt.Errorf("reading the kubeconfig: %w", err)
			}
			c, err := cluster.Connect(config)
			if err != nil {
				return err
			}
			for _, name := range names {
				said, err := set(cmd.Context(), c, types.NamespacedName{Namespace: namespace, Name: name}, v)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(streams.Out, "virtualmachine/%s %s\n", name, said); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// set writes the power state and returns what to say about it.
func set(ctx context.Context, c client.Client, key types.NamespacedName, v verb) (string, error) {
	vm := &v1alpha1.VirtualMachine{}
	if err := c.Get(ctx, key, vm); err != nil {
		if apierrors.IsNotFound(err) {
			return "", fmt.Errorf("there is no virtualmachine %q in namespace %q: see `kubectl get vm -A`", key.Name, key.Namespace)
		}
		return "", fmt.Errorf("reading virtualmachine %s: %w", key, err)
	}
	if vm.DeletionTimestamp != nil {
		return "", fmt.Errorf("virtualmachine %s is being deleted: create it anew when it is gone", key)
	}
	if vm.Spec.PowerState == v.state {
		return v.already, nil
	}
	before := vm.DeepCopy()
	vm.Spec.PowerState = v.state
	if err := c.Patch(ctx, vm, client.MergeFrom(before)); err != nil {
		return "", fmt.Errorf("writing virtualmachine %s: %w", key, err)
	}
	return v.done, nil
}
