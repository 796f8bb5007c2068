// Package app wires vm-scheduler: kube-scheduler's flags, configuration,
// serving and leader election around a scheduler that sees VMs.
package app

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	configscheme "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/podless"
)

// Options are kube-scheduler's, those of the webhook and those of events.
type Options struct {
	*options.Options

	// WebhookPort is where the webhooks are served; 0 serves none.
	WebhookPort int
	// WebhookBindAddress is the address it listens on.
	WebhookBindAddress string

	// PlacedEventsQPS is how many events that a VM was placed are written a
	// second at most; negative for all of them.
	PlacedEventsQPS float32
}

// lastResort is how long a VM waits at most before it is tried again although
// no event spoke for it; kube-scheduler's own default is 5 minutes. kube-scheduler
// wakes nobody when room that it had promised to one VM, and not written down
// yet, becomes free again (kubernetes/kubernetes issue 134859).
const lastResort = time.Minute

// NewOptions returns the defaults.
func NewOptions() *Options {
	o := &Options{Options: options.NewOptions(), WebhookPort: 9443, WebhookBindAddress: "0.0.0.0", PlacedEventsQPS: 10}
	o.Deprecated.PodMaxInUnschedulablePodsDuration = lastResort
	if flag := o.Flags.FlagSet("deprecated").Lookup("pod-max-in-unschedulable-pods-duration"); flag != nil {
		flag.DefValue = lastResort.String()
	}
	return o
}

func (o *Options) addWebhookFlags(fs *pflag.FlagSet) {
	fs.IntVar(&o.WebhookPort, "webhook-port", o.WebhookPort, "Port on which the webhooks for VirtualMachines and PlacementReviews are served with a certificate of their own making; 0 serves none.")
	fs.StringVar(&o.WebhookBindAddress, "webhook-bind-address", o.WebhookBindAddress, "Address on which the webhooks listen.")
}

func (o *Options) addEventFlags(fs *pflag.FlagSet) {
	fs.Float32Var(&o.PlacedEventsQPS, "placed-events-qps", o.PlacedEventsQPS, "Events that a VirtualMachine was placed that are written each second at most, after a burst of five times as many; 0 writes none, -1 all. The condition Scheduled says the same in any case.")
}

// placedEventsBurst is in seconds of PlacedEventsQPS.
const placedEventsBurst = 5

// placedEvents limits the events that VMs were placed.
func (o *Options) placedEvents() podless.PlacedEvents {
	switch {
	case o.PlacedEventsQPS < 0:
		return flowcontrol.NewFakeAlwaysRateLimiter()
	case o.PlacedEventsQPS == 0:
		return flowcontrol.NewFakeNeverRateLimiter()
	}
	return flowcontrol.NewTokenBucketPassiveRateLimiter(o.PlacedEventsQPS, max(1, int(o.PlacedEventsQPS*placedEventsBurst)))
}

// shippedConfig decodes the profile that the binary carries. Defaults are set
// as for a file given with --config.
func shippedConfig() (*config.KubeSchedulerConfiguration, error) {
	obj, gvk, err := configscheme.Codecs.UniversalDecoder().Decode(manifests.SchedulerConfig, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decoding the shipped scheduler configuration: %w", err)
	}
	cfg, ok := obj.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("the shipped scheduler configuration is a %s", gvk)
	}
	cfg.APIVersion = gvk.GroupVersion().String()
	return cfg, nil
}
