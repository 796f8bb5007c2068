package operation

import (
	"context"
	"errors"
	"fmt"
	"io"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/output"
)

// Run creates an operation on each of vms, follows them when wait says so, and
// prints each that has succeeded: done is what has become of the VM, such as
// restarted.
func (r *Request) Run(ctx context.Context, c client.WithWatch, out io.Writer, progress *output.Progress, namespace string, vms []v1alpha1.VirtualMachine, wait bool, done string) error {
	outcomes := r.Create(ctx, c, vms)
	if !wait {
		errs := Errors(outcomes)
		for _, o := range outcomes {
			if o.Err == nil {
				_, err := fmt.Fprintf(out, "virtualmachineoperation/%s created\n", o.Operation.Name)
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	err := r.Follow(ctx, c, namespace, outcomes, progress, func(o *Outcome) error {
		if o.Err != nil {
			return nil
		}
		return Tell(out, o, done)
	})
	return errors.Join(append(Errors(outcomes), err)...)
}

// Tell prints that an operation has succeeded, and what the host says to it.
func Tell(out io.Writer, o *Outcome, done string) error {
	line := "virtualmachine/" + o.VM.Name + " " + done
	if message := output.Safe(o.Operation.Status.Message); message != "" {
		line += " (" + message + ")"
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

// Errors returns the errors of those that are no success.
func Errors(outcomes []Outcome) []error {
	var errs []error
	for _, o := range outcomes {
		if o.Err != nil {
			errs = append(errs, o.Err)
		}
	}
	return errs
}
