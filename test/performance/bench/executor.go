package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
)

type executorOptions struct {
	vms         int
	idle        time.Duration
	assets, bin string
}

// newExecutorCommand measures what one executor takes.
func newExecutorCommand() *cobra.Command {
	o := &executorOptions{}
	cmd := &cobra.Command{
		Use: "executor", Short: "Measure what one vm-executor with many VMs takes, on a simulated host", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().IntVar(&o.vms, "vms", 200, "VMs on the host")
	cmd.Flags().DurationVar(&o.idle, "idle", time.Minute, "how long it is watched when nothing happens")
	cmd.Flags().StringVar(&o.assets, "assets", "bin/tools", "folder of etcd and kube-apiserver")
	cmd.Flags().StringVar(&o.bin, "bin", "bin", "folder of vm-executor")
	return cmd
}

func (o *executorOptions) run(ctx context.Context, out io.Writer) (err error) {
	p, err := startPlane(ctx, o.assets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()

	const host = "host-0000"
	port, err := freePort()
	if err != nil {
		return err
	}
	config := hostconfig.Configuration{
		Hosts: []hostconfig.HostConfiguration{{
			NodeName: host, Kubeconfig: p.kubeconfig, RegisterNode: true,
			Simulated: &hostconfig.SimulatedConfiguration{CPUs: 1024, Memory: resource.MustParse("4Ti")},
		}},
		StateDir: filepath.Join(p.dir, "state"), HealthBindAddress: fmt.Sprintf("127.0.0.1:%d", port),
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("writing the executor's configuration: %w", err)
	}
	path := filepath.Join(p.dir, "executor.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing the executor's configuration: %w", err)
	}
	start := func() (*exec.Cmd, error) {
		log, err := os.OpenFile(filepath.Join(p.dir, "executor.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening the executor's log: %w", err)
		}
		defer func() { _ = log.Close() }()
		cmd := exec.Command(filepath.Join(o.bin, "vm-executor"), "--config", path)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("starting vm-executor: %w", err)
		}
		return cmd, nil
	}
	end := func(cmd *exec.Cmd) { _, _ = cmd.Process.Kill(), cmd.Wait() }

	cmd, err := start()
	if err != nil {
		return err
	}
	if err := ready(ctx, port); err != nil {
		end(cmd)
		return err
	}
	sh := shapes["plain"]
	began := time.Now()
	for i := range o.vms {
		vm := sh.vm(i, false)
		vm.Spec.Domain = nil
		if err := p.createBound(ctx, vm, host); err != nil {
			end(cmd)
			return err
		}
	}
	if err := p.running(ctx, o.vms); err != nil {
		end(cmd)
		return err
	}
	all := time.Since(began)
	// What is written after a start, conditions above all, is not idleness.
	time.Sleep(10 * time.Second)
	proc := &process{pid: cmd.Process.Pid}
	cpu, reads, err := p.idle(ctx, proc, o.idle)
	if err != nil {
		end(cmd)
		return err
	}
	stat, err := procfs.NewProc(proc.pid)
	if err != nil {
		end(cmd)
		return fmt.Errorf("reading the executor's memory: %w", err)
	}
	status, err := stat.NewStatus()
	end(cmd)
	if err != nil {
		return fmt.Errorf("reading the executor's memory: %w", err)
	}
	restarted := time.Now()
	if cmd, err = start(); err != nil {
		return err
	}
	defer end(cmd)
	if err := ready(ctx, port); err != nil {
		return err
	}
	machine, err := describeMachine()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s.\n\n| VMs | all running after, s | memory, MiB | of which not of its file, MiB | CPU when idle, %% of a core | API reads a minute when idle | ready after kill -9, s |\n|--:|--:|--:|--:|--:|--:|--:|\n| %d | %.1f | %.0f | %.0f | %.2f | %.1f | %.2f |\n",
		machine, o.vms, all.Seconds(), float64(status.VmRSS)/(1<<20), float64(status.RssAnon)/(1<<20), cpu*100/o.idle.Seconds(), reads/o.idle.Minutes(), time.Since(restarted).Seconds())
	return err
}

// ready waits until something on that port says that it is ready.
func ready(ctx context.Context, port int) error {
	return untilReady(ctx, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
}

// running waits until n VMs run.
func (p *plane) running(ctx context.Context, n int) error {
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		list := &v1alpha1.VirtualMachineList{}
		if err := p.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return false, fmt.Errorf("listing VMs: %w", err)
		}
		count := 0
		for i := range list.Items {
			if h := list.Items[i].Status.Host; h != nil && h.State == v1alpha1.HostRunning {
				count++
			}
		}
		return count >= n, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the VMs run: %w", err)
	}
	return nil
}

// idle returns the CPU seconds that a process takes in that time, and how often
// the API server was read by executors.
func (p *plane) idle(ctx context.Context, proc *process, d time.Duration) (cpu, reads float64, err error) {
	before, err := proc.cpuSeconds()
	if err != nil {
		return 0, 0, err
	}
	readsBefore, err := p.countReads(ctx)
	if err != nil {
		return 0, 0, err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	after, err := proc.cpuSeconds()
	if err != nil {
		return 0, 0, err
	}
	readsAfter, err := p.countReads(ctx)
	return after - before, readsAfter - readsBefore, err
}
