// Package convert shows libvirt's documents as objects, and objects as libvirt's
// documents. It asks no cluster.
package convert

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
)

type options struct {
	input  libvirtdoc.Input
	output libvirtdoc.Output
}

// New returns `virtctl convert`.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "convert (-f FILE | -f FOLDER | -f - | --connect URI [NAME...])",
		Short: "Show libvirt's XML as YAML, and YAML as libvirt's XML",
		Long: `Show libvirt's XML (domains, networks, pools, volumes, snapshots) as objects in
YAML or JSON, and objects as libvirt's XML. What is converted there and back is
the same. No cluster is asked, and nothing is changed: ` + "`virtctl import`" + ` brings VMs
into one.

XML becomes YAML, and YAML and JSON become XML, unless --output says otherwise.
Objects of 2019's style, whose attributes begin with _, become YAML of today's.
A file may hold many documents: XML one after another, as virsh dumpxml prints
it in a loop, YAML parted by ---, and Lists. Of a folder all files that end in
.xml, .yaml, .yml and .json are read, in the order of their names.

What is wrong with a document is told with its line, and the others are converted.
Exit codes: 0 all are converted, 1 none is, 6 some are not.`,
		Example: `  # A domain as YAML, edited, and as XML again
  virsh dumpxml web | virtctl convert -f - > web.yaml
  virtctl convert -f web.yaml

  # All domains of a host, each in a file of its own
  virtctl convert --connect qemu:///system --directory=vms

  # All that was written in a folder, as JSON
  virtctl convert -f /etc/libvirt/qemu -o json`,
		ValidArgsFunction: o.input.CompleteNames,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(o.input.Check(names), o.output.Check()); err != nil {
				return err
			}
			return o.run(cmd, names, streams)
		},
	}
	o.input.AddFlags(cmd)
	o.input.AddKinds(cmd)
	o.output.AddFlags(cmd, "Format: yaml, json or xml. Default: yaml for XML, and xml for YAML and JSON.")
	return cmd
}

func (o *options) run(cmd *cobra.Command, names []string, streams genericiooptions.IOStreams) error {
	all, err := o.input.Read(cmd.Context(), names, streams.In)
	if err != nil && len(all) == 0 {
		return err
	}
	if err == nil && len(all) == 0 {
		_, _ = fmt.Fprintln(streams.ErrOut, "There is nothing to convert.")
	}
	errs := []error{err}
	read, err := libvirtdoc.Objects(all, objects.FromOptions{})
	errs = append(errs, err)
	format, err := o.format(read)
	if err != nil {
		return err
	}
	for i := range read {
		for _, note := range read[i].Notes {
			_, _ = fmt.Fprintf(streams.ErrOut, "note: %s\n", note)
		}
	}
	return o.output.Print(streams.Out, format, read, errs...)
}

// format is that of --output, or the other side of what was read.
func (o *options) format(read []libvirtdoc.Read) (documents.Format, error) {
	if o.output.Format != "" || len(read) == 0 {
		return documents.Format(o.output.Format), nil
	}
	for i := range read {
		if read[i].Foreign != read[0].Foreign {
			return "", failure.Usage("there are documents of libvirt's (%s) and objects (%s): say with --output what all shall become: %s",
				read[0].String(), read[i].String(), strings.Join(libvirtdoc.Formats, ", "))
		}
	}
	if read[0].Foreign {
		return documents.YAML, nil
	}
	return documents.XML, nil
}
