package operation

import (
	"context"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/output"
)

// OnOne does what request says on the VM of a name, for a command that is about
// one VM. What is returned is over, or with wait false just created.
func (r *Request) OnOne(ctx context.Context, config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, name string, wait bool) (*Outcome, error) {
	place, err := cluster.Open(config)
	if err != nil {
		return nil, err
	}
	vm, err := place.One(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := away.Tell(streams.ErrOut, []v1alpha1.VirtualMachine{*vm}); err != nil {
		return nil, err
	}
	outcomes := r.Create(ctx, place.Client, []v1alpha1.VirtualMachine{*vm})
	if outcomes[0].Err == nil && wait {
		progress := output.NewProgress(streams.ErrOut)
		defer progress.Stop()
		if err := r.Follow(ctx, place.Client, place.Namespace, outcomes, progress, nil); err != nil {
			return nil, err
		}
	}
	return &outcomes[0], outcomes[0].Err
}
