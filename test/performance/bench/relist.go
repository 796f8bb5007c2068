package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// relistOptions are the flags of bench relist.
type relistOptions struct {
	nodes, bound int
	assets, bin  string
}

func newRelistCommand() *cobra.Command {
	o := &relistOptions{}
	cmd := &cobra.Command{
		Use:   "relist",
		Short: "Measure how vm-scheduler comes back after the API server was killed, on a fleet with many VMs",
		Args:  cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return measureRelist(cmd.Context(), o, cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 5000, "number of hosts")
	f.IntVar(&o.bound, "bound", 50000, "VirtualMachines that are on them")
	f.StringVar(&o.assets, "assets", "bin/tools", "folder of etcd and kube-apiserver")
	f.StringVar(&o.bin, "bin", "bin", "folder of vm-scheduler")
	return cmd
}

// measureRelist has vm-scheduler read everything twice: when it starts, and when
// an API server without any history of changes has taken the place of the one
// it watched. Both end when a VM that was created last is bound.
func measureRelist(ctx context.Context, o *relistOptions, out io.Writer) (err error) {
	p, err := startPlane(ctx, o.assets)
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	if err := p.createHosts(ctx, o.nodes); err != nil {
		return err
	}
	if err := p.occupy(ctx, o.bound, o.nodes); err != nil {
		return err
	}
	began := time.Now()
	sched, err := p.startScheduler(&options{bin: o.bin, assets: o.assets}, domus)
	if err != nil {
		return err
	}
	defer sched.stop()
	sh := shapes["plain"]
	if err := p.placeOne(ctx, &sh, 0); err != nil {
		return errors.Join(err, sched.failure())
	}
	startUp := time.Since(began)
	startPeak, err := sched.peakMiB()
	if err != nil {
		return err
	}
	cpuStart, err := sched.cpuSeconds()
	if err != nil {
		return err
	}
	again, err := p.api.again(filepath.Join(p.dir, "kube-apiserver.log"))
	if err != nil {
		return err
	}
	defer again.end()
	if err := p.answers(ctx); err != nil {
		said, _ := os.ReadFile(filepath.Join(p.dir, "kube-apiserver.log"))
		return fmt.Errorf("%w; it said: %s", err, said[max(0, len(said)-2000):])
	}
	up := time.Now()
	if err := p.placeOne(ctx, &sh, 1); err != nil {
		return errors.Join(err, sched.failure())
	}
	back := time.Since(up)
	// Lists that have not come to their end belong to it.
	time.Sleep(10 * time.Second)
	cpu, err := sched.cpuSeconds()
	if err != nil {
		return err
	}
	peak, err := sched.peakMiB()
	if err != nil {
		return err
	}
	machine, err := describeMachine()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s.\n\n| VMs on hosts | what | until a VM is bound, s | CPU of vm-scheduler, s | its peak memory so far, MiB |\n|--:|---|--:|--:|--:|\n| %d on %d | start | %.1f | %.1f | %.0f |\n| | API server killed and started again | %.1f | %.1f | %.0f |\n",
		machine, o.bound, o.nodes, startUp.Seconds(), cpuStart, startPeak, back.Seconds(), cpu-cpuStart, peak)
	return err
}

// placeOne creates a VM and waits until it is bound.
func (p *plane) placeOne(ctx context.Context, sh *shape, i int) error {
	vm := sh.vm(i, false)
	vm.Name = fmt.Sprintf("last-%d", i)
	if err := p.retry(ctx, func() error { return p.client.Create(ctx, vm) }); err != nil {
		return fmt.Errorf("creating VirtualMachine %s: %w", vm.Name, err)
	}
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		seen := &v1alpha1.VirtualMachine{}
		// The API server may have just begun.
		return p.client.Get(ctx, client.ObjectKeyFromObject(vm), seen) == nil && seen.Status.Placement != nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for VirtualMachine %s to be bound: %w", vm.Name, err)
	}
	return nil
}

// answers waits until the API server is ready.
func (p *plane) answers(ctx context.Context) error {
	c, err := httpClient(p)
	if err != nil {
		return err
	}
	return untilReady(ctx, c, strings.TrimSuffix(p.rest.Host, "/")+"/readyz")
}
