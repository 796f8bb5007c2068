package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
)

// stopGrace is how long a component may take to end when asked.
const stopGrace = 10 * time.Second

// upper is one run of Up.
type upper struct {
	Options
	say   *Progress
	state *state
	build component.Builder
	admin client.Client
	// found are the components that ran when this run came to them, with what they
	// are started by.
	found map[string]proc.Spec
}

// Up starts what is not running yet and returns when the cluster can place
// VMs: every host is Ready and the webhook answers. What was there is kept.
func Up(ctx context.Context, o Options, say *Progress) error {
	if err := o.Check(); err != nil {
		return err
	}
	unlock, err := lock(o.Layout)
	if err != nil {
		return err
	}
	defer unlock()
	u := &upper{Options: o, say: say, found: map[string]proc.Spec{}}
	steps := []func(context.Context) error{
		u.prepare, u.startEtcd, u.startHost, u.startAPIServer, u.applyManifests,
		u.startScheduler, u.fillHost, u.startExecutors, u.waitHosts, u.waitWebhook,
	}
	if o.Samples {
		steps = append(steps, u.applySamples, u.waitSamples)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare decides what stays the same for the cluster's life, and writes
// certificates and configuration.
func (u *upper) prepare(context.Context) error {
	s, err := loadState(u.Layout)
	if err != nil {
		return err
	}
	if s == nil {
		s = &state{}
	}
	if s.Ports, err = choosePorts(s.Ports); err != nil {
		return err
	}
	s.SecondRealHost, s.DefinitionPlugins = u.SecondRealHost, u.DefinitionPlugins
	s.RealHost, s.SimulatedHosts, s.DomainType = u.RealHost, u.SimulatedHosts, u.DomainType
	u.state = s
	if err := s.save(u.Layout); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(u.Layout.Config("x")), filepath.Dir(u.Layout.AuditLog()), u.Layout.Data(component.Scheduler)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the cluster's folders: %w", err)
		}
	}
	u.build = component.Builder{Bin: u.Bin, Tools: filepath.Join(u.Bin, "tools"), Layout: u.Layout, Ports: s.Ports}
	if err := u.certify(); err != nil {
		return err
	}
	if err := os.WriteFile(u.Layout.Config(component.AuditPolicyFile), []byte(component.AuditPolicy), 0o644); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	u.say.Say("folder", "%s", u.Layout.Dir)
	return nil
}

// start runs a component and waits until ready says so.
func (u *upper) start(ctx context.Context, spec proc.Spec, ready func(context.Context) error) error {
	r, outcome, err := proc.Ensure(spec)
	if err != nil {
		return err
	}
	u.say.Say(spec.Name, "%s, pid %d", outcome, r.PID)
	if outcome == proc.Running {
		u.found[spec.Name] = spec
	}
	if ready == nil {
		return nil
	}
	_, err = u.await(ctx, spec, r, ready)
	return err
}

// await waits until a started component is ready, and returns its process. One that
// was found running and ends was about to when it was found: it is started once more.
func (u *upper) await(ctx context.Context, spec proc.Spec, r *proc.Record, ready func(context.Context) error) (*proc.Record, error) {
	err := until(ctx, spec, r, u.Timeout, ready)
	if found, was := u.found[spec.Name]; was && errors.Is(err, errEnded) {
		delete(u.found, spec.Name)
		var outcome proc.Outcome
		if r, outcome, err = proc.Ensure(found); err != nil {
			return nil, err
		}
		u.say.Say(spec.Name, "it ended by itself, and is %s, pid %d", outcome, r.PID)
		err = until(ctx, found, r, u.Timeout, ready)
	}
	if err != nil {
		return nil, err
	}
	u.say.Say(spec.Name, "ready")
	return r, nil
}

// stop ends components that an earlier run wanted and this one does not.
func (u *upper) stop(names ...string) error {
	for _, name := range names {
		r, err := proc.Load(u.Layout.PID(name))
		if err != nil {
			return err
		}
		if !r.Alive() {
			continue
		}
		if err := r.Stop(stopGrace); err != nil {
			return err
		}
		u.say.Say(name, "ended: not wanted any more")
	}
	return nil
}
