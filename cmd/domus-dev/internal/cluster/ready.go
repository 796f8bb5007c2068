package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
	"domus.dev/domus/pkg/api/v1alpha1"
)

var scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// waitHosts waits until each host's Hypervisor is Ready, the real one first.
func (u *upper) waitHosts(ctx context.Context) error {
	for _, executor := range []struct {
		name  string
		nodes []string
	}{
		{component.ExecutorReal, u.realNodes()[:min(1, len(u.realNodes()))]},
		{component.SecondExecutor, u.realNodes()[min(1, len(u.realNodes())):]},
		{component.ExecutorSimulated, u.simulatedNodes()},
	} {
		if len(executor.nodes) == 0 {
			continue
		}
		if err := u.waitNodes(ctx, executor.name, executor.nodes); err != nil {
			return err
		}
	}
	u.say.Say("hosts", "%d Ready", len(u.nodes()))
	return nil
}

func (u *upper) waitNodes(ctx context.Context, executor string, nodes []string) error {
	spec := u.build.Executor(executor)
	r, err := proc.Load(spec.RecordFile)
	if err != nil {
		return err
	}
	return until(ctx, spec, r, u.Timeout, func(ctx context.Context) error {
		list := &v1alpha1.HypervisorList{}
		if err := u.admin.List(ctx, list); err != nil {
			return err
		}
		if missing := notReady(list.Items, nodes); len(missing) > 0 {
			return fmt.Errorf("hosts that are not Ready: %s", strings.Join(missing, ", "))
		}
		return nil
	})
}

// notReady returns those of the wanted nodes that have no Ready Hypervisor.
func notReady(hypervisors []v1alpha1.Hypervisor, wanted []string) []string {
	ready := map[string]bool{}
	for _, h := range hypervisors {
		ready[h.Name] = meta.IsStatusConditionTrue(h.Status.Conditions, v1alpha1.HypervisorReady)
	}
	var missing []string
	for _, name := range wanted {
		if !ready[name] {
			missing = append(missing, name)
		}
	}
	return missing
}

// waitWebhook waits until a VM would be admitted: a dry run goes through the
// webhook and is not stored.
func (u *upper) waitWebhook(ctx context.Context) error {
	spec := u.build.Scheduler()
	r, err := proc.Load(spec.RecordFile)
	if err != nil {
		return err
	}
	err = until(ctx, spec, r, u.Timeout, func(ctx context.Context) error {
		vm := &v1alpha1.VirtualMachine{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "would-be-admitted-"},
			Spec: v1alpha1.VirtualMachineSpec{Resources: v1alpha1.VirtualMachineResources{
				CPU: 1, Memory: resource.MustParse("64Mi"),
			}},
		}
		if err := u.admin.Create(ctx, vm, client.DryRunAll); err != nil {
			return fmt.Errorf("trying whether a VirtualMachine would be admitted: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	u.say.Say("webhook", "answers")
	return nil
}

// errNoCluster is for commands that need one.
var errNoCluster = errors.New("there is no cluster in this folder: run domus-dev up")
