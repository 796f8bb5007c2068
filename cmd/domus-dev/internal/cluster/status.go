package cluster

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// Status prints the cluster's processes, hosts and VMs. It fails when a
// process that should run does not, or the API server does not answer.
func Status(ctx context.Context, l layout.Layout, out io.Writer) error {
	s, err := loadState(l)
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("%s: %w", l.Dir, errNoCluster)
	}
	down := 0
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "COMPONENT\tSTATE\tPID\tSINCE\tLOG")
	for _, name := range component.Names() {
		if !s.wants(name) {
			continue
		}
		r, err := proc.Load(l.PID(name))
		if err != nil {
			return err
		}
		if r.Alive() {
			_, _ = fmt.Fprintf(t, "%s\trunning\t%d\t%s\t%s\n", name, r.PID, time.Since(r.StartedAt).Round(time.Second), l.Log(name))
			continue
		}
		down++
		_, _ = fmt.Fprintf(t, "%s\tnot running\t\t\t%s\n", name, l.Log(name))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if down > 0 {
		return fmt.Errorf("%d components do not run: domus-dev up starts them again", down)
	}
	return objects(ctx, l, out)
}

// objects prints how many hosts are Ready, and the VMs by phase.
func objects(ctx context.Context, l layout.Layout, out io.Writer) error {
	config, err := clientcmd.BuildConfigFromFlags("", l.AdminKubeconfig())
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	hosts, vms := &v1alpha1.HypervisorList{}, &v1alpha1.VirtualMachineList{}
	if err := c.List(ctx, hosts); err != nil {
		return fmt.Errorf("asking the API server for hosts: %w", err)
	}
	if err := c.List(ctx, vms); err != nil {
		return fmt.Errorf("asking the API server for VMs: %w", err)
	}
	var names []string
	for _, h := range hosts.Items {
		names = append(names, h.Name)
	}
	_, err = fmt.Fprintf(out, "\nhosts: %d, %d Ready\nVMs: %s\nKUBECONFIG=%s\n",
		len(names), len(names)-len(notReady(hosts.Items, names)), phases(vms.Items), l.AdminKubeconfig())
	return err
}

// wants says whether the cluster should run the component.
func (s *state) wants(name string) bool {
	switch name {
	case component.Host, component.ExecutorReal:
		return s.RealHost
	case component.SecondHost, component.SecondExecutor:
		return s.SecondRealHost
	case component.ExecutorSimulated:
		return s.SimulatedHosts > 0
	default:
		return true
	}
}
