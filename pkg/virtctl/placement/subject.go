package placement

import (
	"io"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/failure"
)

// Subject is what is asked about: a VM by name, or one in a file.
type Subject struct {
	filename string
}

// AddFlags adds -f.
func (s *Subject) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.filename, "filename", "f", "", "File with a VirtualMachine, in YAML or JSON, that need not exist; - reads standard input.")
	// The flag is there: it was just added.
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
}

// Given says whether a name or a file was given.
func (s *Subject) Given(names []string) bool { return s.filename != "" || len(names) > 0 }

// Question is what is asked, where, and how to call the VM in the answer.
type Question struct {
	Spec            v1alpha1.PlacementReviewSpec
	Namespace, Name string
}

// Question returns the question about it. names are the command's arguments, one
// at most.
func (s *Subject) Question(names []string, in io.Reader, namespace cluster.Namespace) (Question, error) {
	q := Question{Namespace: namespace.Name}
	switch {
	case s.filename != "" && len(names) > 0:
		return q, failure.Usage("give either the name of a VM or a file with --filename, not both")
	case len(names) > 0 && names[0] != "":
		name, err := cluster.Name(names[0])
		q.Spec.VirtualMachineName, q.Name = name, name
		return q, err
	case s.filename == "":
		return q, failure.Usage("name a VM (see `virtctl get`), or give a file with --filename")
	}
	vm, err := load(s.filename, in)
	if err != nil {
		return q, err
	}
	if vm.Namespace != "" && vm.Namespace != namespace.Name {
		if namespace.Explicit {
			return q, failure.Usage("the VirtualMachine in %s is of namespace %q, which --namespace=%s contradicts: leave one of them out", s.filename, vm.Namespace, namespace.Name)
		}
		q.Namespace = vm.Namespace
	}
	q.Spec.Template, q.Name = &v1alpha1.VirtualMachineTemplate{Labels: vm.Labels, Spec: vm.Spec}, vm.Name
	return q, nil
}
