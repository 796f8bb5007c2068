// Package importer brings foreign domains into a cluster as VirtualMachines. It
// changes nothing on the hosts that they are from.
package importer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
	"domus.dev/domus/pkg/virtctl/live"
)

// dryRun says how much is done.
type dryRun string

const (
	dryRunNone   dryRun = "none"
	dryRunClient dryRun = "client"
	dryRunServer dryRun = "server"
)

var (
	dryRuns = []string{string(dryRunNone), string(dryRunClient), string(dryRunServer)}
	formats = []string{"yaml", "json", "name"}
	levels  = []string{string(v1alpha1.PolicyRestricted), string(v1alpha1.PolicyPrivileged)}
)

type options struct {
	input  libvirtdoc.Input
	dryRun string
	format string
	level  string
	name   string
	node   string
	start  bool
	remove bool
	quiet  bool
}

// New returns `virtctl import`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "import (-f FILE | -f FOLDER | -f - | --connect URI (NAME... | --all))",
		Short: "Bring libvirt's domains in as VMs",
		Long: `Bring libvirt's domains in as VMs: of files as virsh dumpxml writes them, or of a
libvirt. They keep their UUIDs, and what their guests see. What belongs to the old
host goes, and each change is told. Nothing is changed on the old host.

The VMs are stopped, unless --start is given or an object says otherwise: a guest
must not run twice. To take one over, shut it down where it runs, undefine its
domain there and start the VM; the commands are told. What is there already, by
its UUID, is left as it is, so that the same can be imported again.

Exit codes: 0 all are there, 1 none is, 5 refused, 6 some are not.`,
		Example: `  # What would become of all domains of a host, and what would be refused
  virtctl import -n demo --connect qemu:///system --all --dry-run

  # One of them, from another machine
  virtctl import -n demo --connect qemu+ssh://root@old-host/system web-1

  # What virsh wrote
  virsh dumpxml web-1 | virtctl import -n demo -f -

  # Edited before it is brought in
  virtctl import --connect qemu:///system web-1 --dry-run > web-1.yaml
  virtctl import -n demo -f web-1.yaml`,
		ValidArgsFunction: o.input.CompleteNames,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(o.input.Check(names), o.check(names)); err != nil {
				return err
			}
			return o.run(cmd, config, names, streams)
		},
	}
	o.input.AddFlags(cmd)
	o.input.AddAll(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.dryRun, "dry-run", string(dryRunNone), "client prints what would be created, server has the API server judge it; neither creates anything.")
	flags.Lookup("dry-run").NoOptDefVal = string(dryRunClient)
	flags.StringVarP(&o.format, "output", "o", "", "What is printed of each VM: yaml, json or name. Default: yaml with --dry-run=client, and otherwise a line for people.")
	flags.StringVar(&o.level, "policy-level", "", "Policy level to hold the VMs against: restricted or privileged. Default: that of the namespace.")
	flags.StringVar(&o.name, "name", "", "Name of the VM, where one domain is brought in. Default: the domain's, made fit for Kubernetes.")
	flags.StringVar(&o.node, "node", "", "Node that the VMs may run on, such as the one that has their disks: it is written into spec.nodeSelector.")
	flags.BoolVar(&o.start, "start", false, "Have the VMs run at once. The domains must be shut down, and should be undefined.")
	flags.BoolVar(&o.remove, "remove-refused", false, "Leave out what the namespace's policy refuses, disks and network interfaces apart.")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "Do not tell what is changed, nor what to do next.")
	complete.Flag(cmd, "dry-run", dryRuns...)
	complete.Flag(cmd, "output", formats...)
	complete.Flag(cmd, "policy-level", levels...)
	if err := cmd.RegisterFlagCompletionFunc("node", complete.Nodes(config)); err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

// check refuses what is wrong with the flags.
func (o *options) check(names []string) error {
	for _, flag := range []struct {
		name, value string
		of          []string
	}{{"dry-run", o.dryRun, dryRuns}, {"output", o.format, append([]string{""}, formats...)}, {"policy-level", o.level, append([]string{""}, levels...)}} {
		if !slices.Contains(flag.of, flag.value) {
			return failure.Usage("--%s=%s: must be one of %s", flag.name, flag.value, strings.TrimPrefix(strings.Join(flag.of, ", "), ", "))
		}
	}
	if o.name != "" {
		if wrong := validation.IsDNS1123Subdomain(o.name); len(wrong) > 0 {
			return failure.Usage("--name=%q cannot be the name of a VM: %s", o.name, wrong[0])
		}
		if o.input.All || len(names) > 1 {
			return failure.Usage("--name=%s is for one domain: name one", o.name)
		}
	}
	if o.node != "" {
		if wrong := validation.IsValidLabelValue(o.node); len(wrong) > 0 {
			return failure.Usage("--node=%q cannot be the name of a Node: %s", o.node, wrong[0])
		}
	}
	return nil
}

func (o *options) run(cmd *cobra.Command, config *genericclioptions.ConfigFlags, names []string, streams genericiooptions.IOStreams) error {
	ctx := cmd.Context()
	namespace, err := cluster.NamespaceOf(config)
	if err != nil {
		return err
	}
	// What is beside domains tells where their disks and networks are.
	o.input.Kinds(live.Domain, live.Network, live.Pool, live.Snapshot)
	found, err := o.input.ReadFound(ctx, names, streams.In)
	if err != nil && len(found) == 0 {
		return err
	}
	errs := []error{err}
	read, err := libvirtdoc.ObjectsOf(found, objects.FromOptions{})
	errs = append(errs, err)
	w := &writer{options: o, streams: streams, namespace: namespace.Name, program: cmd.Root().CommandPath()}
	w.others(read)
	there, err := o.ask(ctx, config, namespace.Name, w)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	all, err := o.plan(read, namespace.Name, there)
	errs = append(errs, err)
	if o.name != "" && len(all) > 1 {
		return failure.Usage("--name=%s is for one domain, and there are %d: give one", o.name, len(all))
	}
	done, err := w.write(ctx, there, all)
	errs = append(errs, err)
	err = errors.Join(errs...)
	if len(all) == 0 && err == nil {
		return fmt.Errorf("there is no domain to bring in")
	}
	if err != nil && done > 0 {
		return failure.Partly(err)
	}
	return err
}

// clientPatience bounds how long a dry run that needs no cluster waits for one.
const clientPatience = 5 * time.Second

// ask finds out what there is in the cluster. A dry run of the client does without
// where there is no answer, and says so.
func (o *options) ask(ctx context.Context, config *genericclioptions.ConfigFlags, namespace string, w *writer) (*surroundings, error) {
	asked := ctx
	if dryRun(o.dryRun) == dryRunClient {
		var cancel context.CancelFunc
		asked, cancel = context.WithTimeout(ctx, clientPatience)
		defer cancel()
	}
	there, err := look(asked, config, namespace, o.level)
	switch {
	case err == nil:
		return there, nil
	case ctx.Err() != nil || dryRun(o.dryRun) != dryRunClient:
		return nil, err
	}
	level := v1alpha1.PolicyRestricted
	if o.level != "" {
		level = v1alpha1.PolicyLevel(o.level)
	}
	w.note("the cluster was not asked, so policy level %s is assumed, and what is there already is not known: %v", level, err)
	return &surroundings{level: level}, nil
}
