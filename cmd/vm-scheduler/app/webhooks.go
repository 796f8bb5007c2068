package app

import (
	"context"
	"fmt"

	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/pkg/scheduler"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"domus.dev/domus/pkg/admission"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/explain"
	"domus.dev/domus/pkg/plugins/disklocality"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/networkreach"
	"domus.dev/domus/pkg/review"
)

// serveWebhooks has m serve them, whether or not this replica leads. Questions
// about placement are answered beside sched, which cc and hosts have made.
func serveWebhooks(ctx context.Context, m manager.Manager, live client.Client, cc *schedulerconfig.CompletedConfig, sched *scheduler.Scheduler, hosts *fleet.Fleet, disks *disklocality.Disks, networks *networkreach.Networks) error {
	explainer, err := explain.New(ctx, cc, sched, hosts, disks, networks)
	if err != nil {
		return err
	}
	validator := admission.NewValidator(m.GetScheme(), live, networks)
	classes := admission.NewClasses(m.GetScheme(), live)
	ready := newOnceSynced(ctx, sched.WaitForHandlersSync, explainer)
	reviews, err := review.NewHandler(live, validator, classes, ready)
	if err != nil {
		return fmt.Errorf("making the webhook for PlacementReviews: %w", err)
	}
	server := m.GetWebhookServer()
	server.Register(admission.Path, &webhook.Admission{Handler: validator})
	server.Register(admission.ClassesPath, &webhook.Admission{Handler: classes})
	server.Register(admission.ClassPath, &webhook.Admission{Handler: admission.NewClassValidator(m.GetScheme())})
	server.Register(review.Path, &webhook.Admission{Handler: reviews})
	return servePlacementMap(ctx, m, live, cc, ready)
}

// onceSynced is an explainer that is not asked before the scheduler has read all
// that it places by. A replica that does not lead reads it too, unless it is
// configured with delayCacheUntilActive.
type onceSynced struct {
	review.Explainer
	synced chan struct{}
}

// newOnceSynced returns one that asks explainer once wait has returned.
func newOnceSynced(ctx context.Context, wait func(context.Context) error, explainer review.Explainer) *onceSynced {
	o := &onceSynced{Explainer: explainer, synced: make(chan struct{})}
	go func() {
		// It fails only when ctx ends.
		if wait(ctx) == nil {
			close(o.synced)
		}
	}()
	return o
}

// Review implements review.Explainer.
func (o *onceSynced) Review(ctx context.Context, vm *v1alpha1.VirtualMachine, spec *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error) {
	select {
	case <-o.synced:
		return o.Explainer.Review(ctx, vm, spec)
	default:
		return nil, explain.ErrNotReady
	}
}
