package cluster

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

// Selection says which VMs a command is about: those named, those of a label
// selector, or all of the namespace.
type Selection struct {
	Names []string
	All   bool

	text     string
	selector labels.Selector
}

// AddFlags adds -l and --all.
func (s *Selection) AddFlags(cmd *cobra.Command) {
	s.AddSelector(cmd)
	cmd.Flags().BoolVar(&s.All, "all", false, "All VMs of the namespace.")
}

// AddSelector adds -l.
func (s *Selection) AddSelector(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.text, "selector", "l", "", "VMs with these labels, such as app=web,tier!=test.")
}

// Read takes the command's arguments, and refuses none and too much of a choice.
func (s *Selection) Read(names []string) error {
	given := 0
	for _, is := range []bool{len(names) > 0, s.text != "", s.All} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return failure.Usage("name VMs (see `virtctl get`), or choose them with --selector or --all")
	case given > 1:
		return failure.Usage("give names, --selector or --all: one of them")
	}
	return s.parse(names)
}

// ReadOptional is Read where nothing given means all.
func (s *Selection) ReadOptional(names []string) error {
	if len(names) > 0 && s.text != "" {
		return failure.Usage("give names or --selector, not both")
	}
	return s.parse(names)
}

func (s *Selection) parse(names []string) error {
	for _, given := range names {
		name, err := Name(given)
		if err != nil {
			return err
		}
		if !slices.Contains(s.Names, name) {
			s.Names = append(s.Names, name)
		}
	}
	selector, err := labels.Parse(s.text)
	if err != nil {
		return failure.Usage("--selector=%s: %w", s.text, err)
	}
	s.selector = selector
	return nil
}

// Find returns the VMs that are there, those named in the order of their names
// on the command line, and an error for each that is not. namespace "" is all of
// them.
func (s *Selection) Find(ctx context.Context, c client.Client, namespace string) ([]v1alpha1.VirtualMachine, error) {
	if len(s.Names) == 0 {
		list := &v1alpha1.VirtualMachineList{}
		err := c.List(ctx, list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: s.selector})
		return list.Items, failure.API(err, "listing virtualmachines")
	}
	var found []v1alpha1.VirtualMachine
	var errs []error
	for _, name := range s.Names {
		vm, err := Find(ctx, c, types.NamespacedName{Namespace: namespace, Name: name})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, *vm)
	}
	return found, errors.Join(errs...)
}

// Find returns the VM of a name.
func Find(ctx context.Context, c client.Client, key types.NamespacedName) (*v1alpha1.VirtualMachine, error) {
	vm := &v1alpha1.VirtualMachine{}
	err := c.Get(ctx, key, vm)
	if apierrors.IsNotFound(err) {
		return nil, NoVM(key)
	}
	return vm, failure.API(err, "reading virtualmachine %s", key.Name)
}

// NoVM is that there is no VM of a name.
func NoVM(key types.NamespacedName) error {
	return failure.NotFound("there is no virtualmachine %q in namespace %q: see `virtctl get -A`", key.Name, key.Namespace)
}
