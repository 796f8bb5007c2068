package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/machine"
	"domus.dev/domus/cmd/domus-dev/internal/manifest"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
	"domus.dev/domus/manifests"
)

// upper is one run of Up.
type upper struct {
	Options
	say   *Progress
	state *state
	build component.Builder
	admin client.Client
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
	u := &upper{Options: o, say: say}
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
		if s.Ports, err = choosePorts(); err != nil {
			return err
		}
	}
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
	if ready == nil {
		return nil
	}
	return u.await(ctx, spec, r, ready)
}

// await waits until a started component is ready.
func (u *upper) await(ctx context.Context, spec proc.Spec, r *proc.Record, ready func(context.Context) error) error {
	if err := until(ctx, spec, r, u.Timeout, ready); err != nil {
		return err
	}
	u.say.Say(spec.Name, "ready")
	return nil
}

// startEtcd does not wait: the API server says when it cannot reach etcd.
func (u *upper) startEtcd(ctx context.Context) error { return u.start(ctx, u.build.Etcd(), nil) }

func (u *upper) startAPIServer(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", u.Layout.AdminKubeconfig())
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	err = u.start(ctx, u.build.APIServer(), func(ctx context.Context) error {
		return answersOK(ctx, httpClient, u.state.Ports.APIServerURL()+"/readyz")
	})
	if err != nil {
		return err
	}
	u.admin, err = client.NewWithWatch(config, client.Options{HTTPClient: httpClient, Scheme: scheme})
	return err
}

func (u *upper) applyManifests(ctx context.Context) error {
	files, err := manifests.Base()
	if err != nil {
		return fmt.Errorf("reading the built-in manifests: %w", err)
	}
	objects, err := manifest.Parse(files)
	if err != nil {
		return err
	}
	objects, err = manifest.Embed(objects, u.state.Ports.WebhookURL)
	if err != nil {
		return err
	}
	if err := manifest.Apply(ctx, u.admin, objects); err != nil {
		return err
	}
	u.say.Say("manifests", "%d objects applied", len(objects))
	return nil
}

func (u *upper) startScheduler(ctx context.Context) error {
	return u.start(ctx, u.build.Scheduler(), httpReady("https://"+component.Address(u.state.Ports.Scheduler)+"/readyz"))
}

func (u *upper) startHost(ctx context.Context) error {
	if !u.RealHost {
		return nil
	}
	if err := machine.Prepare(u.Layout); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return u.start(ctx, machine.Spec(u.Layout, self), nil)
}

// fillHost waits for the private libvirtd and gives it the guest image.
func (u *upper) fillHost(ctx context.Context) error {
	if !u.RealHost {
		return nil
	}
	spec := machine.Spec(u.Layout, "")
	r, err := proc.Load(spec.RecordFile)
	if err != nil {
		return err
	}
	if err := u.await(ctx, spec, r, func(ctx context.Context) error { return machine.Answers(ctx, u.Layout) }); err != nil {
		return err
	}
	return machine.EnsureStorage(ctx, u.Layout, u.guestImage())
}

func (u *upper) startExecutors(ctx context.Context) error {
	if u.RealHost {
		config, err := component.RealExecutorConfig(u.Layout, u.state.Ports, u.DomainType)
		if err == nil {
			err = u.startExecutor(ctx, component.ExecutorReal, config, u.state.Ports.RealHealth)
		}
		if err != nil {
			return err
		}
	} else if err := u.stop(component.ExecutorReal, component.Host); err != nil {
		return err
	}
	if u.SimulatedHosts == 0 {
		return u.stop(component.ExecutorSimulated)
	}
	config, err := component.SimulatedExecutorConfig(u.Layout, u.state.Ports, u.SimulatedHosts)
	if err != nil {
		return err
	}
	return u.startExecutor(ctx, component.ExecutorSimulated, config, u.state.Ports.SimulatedHealth)
}

func (u *upper) startExecutor(ctx context.Context, name string, config []byte, healthPort int) error {
	if err := os.WriteFile(u.Layout.Config(name+".yaml"), config, 0o644); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", name, err)
	}
	return u.start(ctx, u.build.Executor(name), httpReady("http://"+component.Address(healthPort)+"/healthz"))
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

func answersOK(ctx context.Context, c *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// ownedBySudoUser gives the file to who called sudo, who wants to read it.
func ownedBySudoUser(path string) error {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	gid, err := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil {
		return nil
	}
	return os.Chown(path, uid, gid)
}

// stopGrace is how long a component may take to end when asked.
const stopGrace = 10 * time.Second
