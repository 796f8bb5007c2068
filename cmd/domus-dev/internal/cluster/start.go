package cluster

import (
	"context"
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/machine"
	"domus.dev/domus/cmd/domus-dev/internal/manifest"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
	"domus.dev/domus/manifests"
)

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
	if err := u.start(ctx, u.build.APIServer(), answersOK(httpClient, u.state.Ports.APIServerURL()+"/readyz")); err != nil {
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
	return u.start(ctx, u.build.Scheduler(), answersOK(insecurely, "https://"+component.Address(u.state.Ports.Scheduler)+"/readyz"))
}

func (u *upper) startHost(ctx context.Context) error {
	if !u.RealHost {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := machine.Prepare(u.Layout); err != nil {
		return err
	}
	if err := u.start(ctx, machine.Spec(u.Layout, self), nil); err != nil || !u.SecondRealHost {
		return err
	}
	if err := machine.Prepare(u.Layout.Second()); err != nil {
		return err
	}
	return u.start(ctx, machine.SecondSpec(u.Layout, self), nil)
}

// fillHost waits for the private libvirtd and gives it the guest images; the second
// one's too, which is on one network with the first.
func (u *upper) fillHost(ctx context.Context) error {
	if !u.RealHost {
		return nil
	}
	if err := u.fill(ctx, machine.Spec(u.Layout, ""), u.Layout, 1); err != nil || !u.SecondRealHost {
		return err
	}
	if err := u.fill(ctx, machine.SecondSpec(u.Layout, ""), u.Layout.Second(), 2); err != nil {
		return err
	}
	return machine.Join(u.Layout, u.Layout.Second())
}

func (u *upper) fill(ctx context.Context, spec proc.Spec, own layout.Layout, number int) error {
	r, err := proc.Load(spec.RecordFile)
	if err != nil {
		return err
	}
	r, err = u.await(ctx, spec, r, func(ctx context.Context) error { return machine.Answers(ctx, own) })
	if err != nil {
		return err
	}
	if err := machine.EnsureCNI(own, number, r.PID); err != nil {
		return err
	}
	return machine.EnsureStorage(ctx, own, u.guestImages())
}

func (u *upper) startExecutors(ctx context.Context) error {
	if u.RealHost {
		config, err := component.RealExecutorConfig(u.Layout, u.state.Ports, u.DomainType, u.DefinitionPlugins)
		if err == nil {
			err = u.startExecutor(ctx, component.ExecutorReal, config, u.state.Ports.RealHealth)
		}
		if err != nil {
			return err
		}
	} else if err := u.stop(component.ExecutorReal, component.Host); err != nil {
		return err
	}
	if u.SecondRealHost {
		config, err := component.SecondExecutorConfig(u.Layout, u.state.Ports, u.DomainType, u.DefinitionPlugins)
		if err == nil {
			err = u.startExecutor(ctx, component.SecondExecutor, config, u.state.Ports.SecondHealth)
		}
		if err != nil {
			return err
		}
	} else if err := u.stop(component.SecondExecutor, component.SecondHost); err != nil {
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
	return u.start(ctx, u.build.Executor(name), answersOK(insecurely, "http://"+component.Address(healthPort)+"/healthz"))
}
