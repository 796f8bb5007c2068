package cluster

import (
	"context"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Place is where a command works: a namespace of the user's cluster.
type Place struct {
	Client client.WithWatch
	// Namespace is that of the command line or else the kubeconfig; "" is all of
	// them.
	Namespace string
}

// Open returns the place that the user's flags and kubeconfig name.
func Open(config *genericclioptions.ConfigFlags) (*Place, error) {
	namespace, err := NamespaceOf(config)
	if err != nil {
		return nil, err
	}
	c, err := Connect(config)
	if err != nil {
		return nil, err
	}
	return &Place{Client: c, Namespace: namespace.Name}, nil
}

// Choose returns the VMs of a selection that are there, and an error for each
// name that no VM has. That a selector chooses none is no error, but said.
func (p *Place) Choose(ctx context.Context, s *Selection, errOut io.Writer) ([]v1alpha1.VirtualMachine, error) {
	vms, err := s.Find(ctx, p.Client, p.Namespace)
	if err == nil && len(vms) == 0 {
		_, err = fmt.Fprintf(errOut, "No virtualmachines found in namespace %s.\n", p.Namespace)
	}
	return vms, err
}

// One returns the VM of a name, given as NAME or vm/NAME.
func (p *Place) One(ctx context.Context, given string) (*v1alpha1.VirtualMachine, error) {
	name, err := Name(given)
	if err != nil {
		return nil, err
	}
	return Find(ctx, p.Client, types.NamespacedName{Namespace: p.Namespace, Name: name})
}
