// Package explain answers PlacementReviews: where a VM would be placed and why,
// and how much more fits. It runs the plugins that place VMs, in frameworks of
// its own and on a snapshot of its own, and changes nothing.
package explain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/pkg/scheduler"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/disklocality"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/networkreach"
	"domus.dev/domus/pkg/podless"
)

var (
	// ErrInvalid says that a VM cannot be asked about as it is: the text names
	// the field and the remedy.
	ErrInvalid = errors.New("invalid question")
	// ErrNotReady says that not all hosts are known yet: ask again in a moment.
	ErrNotReady = errors.New("the hosts have not all been read yet: ask again in a moment")
)

// Explainer answers PlacementReviews beside a running scheduler, one at a time.
// It is safe for concurrent use.
//
// It does not ask extenders, and its HostHeadroom makes plans of its own, which
// need not be the scheduler's where several keep the promise.
type Explainer struct {
	// turn holds one token, which whoever answers has.
	turn       chan struct{}
	cache      internalcache.Cache
	situation  *situation
	profiles   map[string]framework.Framework
	fleet      *fleet.Fleet
	nominator  fwk.PodNominator
	priorities podless.Priorities
}

// New returns an Explainer for the scheduler that podless.Setup has made of cc,
// whose plugins see hosts, disks and networks. It fails where a profile is configured wrongly.
func New(ctx context.Context, cc *schedulerconfig.CompletedConfig, sched *scheduler.Scheduler, hosts *fleet.Fleet, disks *disklocality.Disks, networks *networkreach.Networks) (*Explainer, error) {
	e := &Explainer{
		turn:       make(chan struct{}, 1),
		cache:      sched.Cache,
		situation:  newSituation(),
		fleet:      hosts.Reader(),
		nominator:  sched.SchedulingQueue,
		priorities: podless.NewPriorities(cc.InformerFactory.Scheduling().V1().PriorityClasses().Lister()),
	}
	var err error
	if e.profiles, err = newProfiles(ctx, cc, sched, e.situation, e.fleet, disks, networks); err != nil {
		return nil, fmt.Errorf("making the explainer: %w", err)
	}
	return e, nil
}

// Review answers a question about a VM, which is either as the API server has
// it, or made up: then its name, namespace and UID are too. vm is not changed.
// It is looked at as if it were to be placed now, be it placed, stopped or held.
//
// It fails with ErrInvalid, with ErrNotReady, or with ctx's error.
func (e *Explainer) Review(ctx context.Context, vm *v1alpha1.VirtualMachine, spec *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error) {
	profile, err := e.profile(&vm.Spec)
	if err != nil {
		return nil, err
	}
	if err := check(&vm.Spec); err != nil {
		return nil, err
	}
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another review to be answered: %w", ctx.Err())
	}
	if !e.fleet.Synced() {
		return nil, ErrNotReady
	}
	if err := e.cache.UpdateSnapshot(klog.FromContext(ctx), e.situation.base); err != nil {
		return nil, fmt.Errorf("taking a snapshot of the hosts: %w", err)
	}
	e.situation.reset()
	q, err := e.inquire(profile, vm, spec)
	if err != nil {
		return nil, err
	}
	now, err := q.try(ctx, q.vm)
	if err != nil {
		return nil, err
	}
	if spec.Question == v1alpha1.PlacementFit {
		return q.fit(ctx, now)
	}
	return q.explain(ctx, now)
}

// profile is the profile that places VMs of this spec.
func (e *Explainer) profile(spec *v1alpha1.VirtualMachineSpec) (framework.Framework, error) {
	name := spec.SchedulerName
	if name == "" {
		name = v1alpha1.DefaultSchedulerName
	}
	if profile, ok := e.profiles[name]; ok {
		return profile, nil
	}
	return nil, fmt.Errorf("%w: spec.schedulerName: no profile serves %q: use one of %s", ErrInvalid, name,
		strings.Join(slices.Sorted(maps.Keys(e.profiles)), ", "))
}

// check refuses what no host can be counted with.
func check(spec *v1alpha1.VirtualMachineSpec) error {
	switch r := &spec.Resources; {
	case r.CPU < 1:
		return fmt.Errorf("%w: spec.resources.cpu: must be at least 1", ErrInvalid)
	case r.Memory.Value() < 1:
		return fmt.Errorf("%w: spec.resources.memory: must be more than 0", ErrInvalid)
	}
	return nil
}
