package app

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apiserver "k8s.io/apiserver/pkg/server"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/term"
	"k8s.io/component-base/version/verflag"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// NewCommand returns vm-scheduler's command, with kube-scheduler's flags.
func NewCommand() *cobra.Command {
	opts := NewOptions()
	cmd := &cobra.Command{
		Use:   "vm-scheduler",
		Short: "Places VirtualMachines on libvirt hosts with kube-scheduler",
		Long: `vm-scheduler is kube-scheduler for VirtualMachines of domus.dev: queue, cache,
plugins, flags and configuration are kube-scheduler's own, and no Pod is ever
written. It also runs the controllers that keep VMs bound and serves the webhooks
that refuse malformed ones and answer PlacementReviews.

Without --config it uses the profile it ships: schedulerName vm-scheduler.`,
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return opts.ComponentGlobalsRegistry.Set()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			verflag.PrintAndExitIfRequested()
			gate := opts.ComponentGlobalsRegistry.FeatureGateFor(basecompatibility.DefaultKubeComponent)
			if err := logsapi.ValidateAndApply(opts.Logs, gate); err != nil {
				return err
			}
			ctrl.SetLogger(klog.Background())
			cliflag.PrintFlags(cmd.Flags())
			if mutable, ok := gate.(featuregate.MutableFeatureGate); ok {
				mutable.AddMetrics()
			}
			opts.ComponentGlobalsRegistry.AddMetrics()

			ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Background()))
			defer cancel()
			go func() {
				<-apiserver.SetupSignalHandler()
				cancel()
			}()
			if err := Run(ctx, opts); err != nil {
				return fmt.Errorf("running vm-scheduler: %w", err)
			}
			return nil
		},
	}

	flags := *opts.Flags
	opts.addWebhookFlags(flags.FlagSet("webhook"))
	opts.addEventFlags(flags.FlagSet("events"))
	verflag.AddFlags(flags.FlagSet("global"))
	globalflag.AddGlobalFlags(flags.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	for _, fs := range flags.FlagSets {
		cmd.Flags().AddFlagSet(fs)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cliflag.SetUsageAndHelpFunc(cmd, flags, columns)
	if err := cmd.MarkFlagFilename("config", "yaml", "yml", "json"); err != nil {
		klog.Background().Error(err, "Marking --config as a file name for completion")
	}
	return cmd
}
