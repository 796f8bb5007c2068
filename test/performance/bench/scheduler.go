package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"domus.dev/domus/manifests"
)

// side is who places: kube-scheduler Pods, or vm-scheduler VirtualMachines.
type side string

const (
	stock side = "stock"
	domus side = "domus"
)

// scheduler is a running scheduler.
type scheduler struct {
	cmd     *exec.Cmd
	log     *os.File
	ended   chan struct{}
	port    int
	started time.Time
	process
}

// startScheduler starts a side's scheduler as it ships, with the same limits of
// requests and as its own leader.
func (p *plane) startScheduler(o *options, s side) (*scheduler, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{
		"--kubeconfig", p.kubeconfig, "--authentication-kubeconfig", p.kubeconfig, "--authorization-kubeconfig", p.kubeconfig,
		"--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(port), "--leader-elect=false", "-v", strconv.Itoa(o.verbosity),
	}
	program := filepath.Join(o.bin, "vm-scheduler")
	if s == stock {
		program = filepath.Join(o.assets, "kube-scheduler")
		config, err := p.stockConfig()
		if err != nil {
			return nil, err
		}
		args = append(args, "--config", config)
	} else {
		args = append(args, "--webhook-port", "0")
	}
	log, err := os.Create(filepath.Join(p.dir, string(s)+".log"))
	if err != nil {
		return nil, fmt.Errorf("creating the scheduler's log: %w", err)
	}
	sched := &scheduler{cmd: exec.Command(program, args...), log: log, ended: make(chan struct{}), port: port, started: time.Now()}
	sched.cmd.Stdout, sched.cmd.Stderr = log, log
	// It must not outlive a run that is killed.
	sched.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := sched.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", program, err), log.Close())
	}
	sched.process = process{pid: sched.cmd.Process.Pid}
	go func() {
		_ = sched.cmd.Wait()
		close(sched.ended)
	}()
	return sched, nil
}

// stop ends the scheduler.
func (s *scheduler) stop() {
	_ = s.cmd.Process.Kill()
	<-s.ended
	_ = s.log.Close()
}

// failure is an error with the end of the log when the scheduler has ended.
func (s *scheduler) failure() error {
	select {
	case <-s.ended:
	default:
		return nil
	}
	data, _ := os.ReadFile(s.log.Name())
	return fmt.Errorf("%s ended: %s", filepath.Base(s.cmd.Path), data[max(0, len(data)-2000):])
}

// stockConfig is kube-scheduler's default configuration with the limits of
// requests that vm-scheduler ships.
func (p *plane) stockConfig() (string, error) {
	var shipped struct {
		ClientConnection map[string]any `json:"clientConnection"`
	}
	if err := yaml.Unmarshal(manifests.SchedulerConfig, &shipped); err != nil {
		return "", fmt.Errorf("reading the shipped configuration: %w", err)
	}
	connection := map[string]any{"kubeconfig": p.kubeconfig, "qps": shipped.ClientConnection["qps"], "burst": shipped.ClientConnection["burst"], "contentType": "application/vnd.kubernetes.protobuf"}
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
		"clientConnection": connection, "leaderElection": map[string]any{"leaderElect": false},
	})
	if err != nil {
		return "", fmt.Errorf("writing kube-scheduler's configuration: %w", err)
	}
	path := filepath.Join(p.dir, "kube-scheduler.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("writing kube-scheduler's configuration: %w", err)
	}
	return path, nil
}

// profile writes CPU profiles of the scheduler and the API server.
func (p *plane) profile(ctx context.Context, s *scheduler, prefix string, seconds int) error {
	client, err := httpClient(p)
	if err != nil {
		return err
	}
	fetch := func(url, path string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("profiling: %w", err)
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("profiling: %w", err)
		}
		defer func() { _ = res.Body.Close() }()
		data, err := io.ReadAll(res.Body)
		if err != nil {
			return fmt.Errorf("reading a profile: %w", err)
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("profiling %s: %s: %.200s", url, res.Status, data)
		}
		return os.WriteFile(path, data, 0o600)
	}
	errs := make(chan error, 2)
	query := "/debug/pprof/profile?seconds=" + strconv.Itoa(seconds)
	go func() { errs <- fetch(strings.TrimSuffix(p.rest.Host, "/")+query, prefix+"-apiserver.pprof") }()
	go func() {
		errs <- fetch("https://127.0.0.1:"+strconv.Itoa(s.port)+query, prefix+"-scheduler.pprof")
	}()
	return errors.Join(<-errs, <-errs)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// ready waits until the scheduler says that its caches are filled.
func (s *scheduler) ready(ctx context.Context, p *plane) error {
	c, err := httpClient(p)
	if err != nil {
		return err
	}
	url := "https://127.0.0.1:" + strconv.Itoa(s.port) + "/readyz"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("asking whether the scheduler is ready: %w", err)
		}
		if res, err := c.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return s.failure()
		case <-ctx.Done():
			return fmt.Errorf("waiting for the scheduler: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
