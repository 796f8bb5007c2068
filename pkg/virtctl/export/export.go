// Package export writes VMs of a cluster as libvirt's XML.
package export

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
)

type options struct {
	selection cluster.Selection
	output    libvirtdoc.Output
}

// New returns `virtctl export`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "export (NAME... | -l SELECTOR | --all)",
		Short: "Write VMs as libvirt's XML",
		Long: `Write VMs as libvirt's XML, as their objects in the cluster say: no host is asked,
and what a placement decides is not in it. What the XML has no words for, such as
labels, is in its <metadata>, so that ` + "`virtctl import`" + ` makes the same VM of it;
--bare leaves that out.

Exit codes: 0 all are written, 1 none is, 3 no such VM, 6 some are not.`,
		Example: `  # One VM, for libvirt
  virtctl export -n demo web-1 --bare > web-1.xml
  virsh define web-1.xml

  # A copy of all VMs of a namespace, each in a file of its own
  virtctl export -n demo --all --directory=backup

  # The same as objects, without what their cluster adds
  virtctl export -n demo --all -o yaml`,
		ValidArgsFunction: complete.VMs(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(o.selection.Read(names), o.output.Check()); err != nil {
				return err
			}
			namespace, err := cluster.NamespaceOf(config)
			if err != nil {
				return err
			}
			c, err := cluster.Connect(config)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), c, namespace.Name, streams)
		},
	}
	o.selection.AddFlags(cmd)
	o.output.AddFlags(cmd, "Format: xml, yaml or json. Default: xml.")
	return cmd
}

func (o *options) run(ctx context.Context, c client.Client, namespace string, streams genericiooptions.IOStreams) error {
	vms, err := o.selection.Find(ctx, c, namespace)
	if err == nil && len(vms) == 0 {
		_, err := fmt.Fprintf(streams.ErrOut, "No virtualmachines found in namespace %s.\n", namespace)
		return err
	}
	format := documents.XML
	if o.output.Format != "" {
		format = documents.Format(o.output.Format)
	}
	read := make([]libvirtdoc.Read, len(vms))
	for i := range vms {
		vm := &vms[i]
		// A client drops the kind of what it lists.
		vm.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachine"))
		read[i] = libvirtdoc.Read{Document: documents.Document{Source: "virtualmachine/" + vm.Name, Alone: true}, Object: vm}
	}
	return o.output.Print(streams.Out, format, read, err)
}
