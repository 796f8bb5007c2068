package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// scheduler is a running vm-scheduler process.
type scheduler struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	once sync.Once
}

type schedulerOptions struct {
	// api is the API server to use; the real one by default.
	api *faultyAPI
	// webhook says whether it serves the webhook. One of several may.
	noWebhook bool
	// leaderElect with fast settings; without it the process leads at once.
	leaderElect bool
	// gangs turns on the feature gate for groups of VMs.
	gangs bool
}

// startScheduler starts a vm-scheduler and waits until it is ready. It is
// killed when the test ends, and its log shown when the test failed.
func startScheduler(t *testing.T, o schedulerOptions) *scheduler {
	t.Helper()
	cfg, err := suite.plane.as("domus:scheduler", "domus:schedulers")
	if err != nil {
		t.Fatal(err)
	}
	if o.api != nil {
		cfg = &rest.Config{Host: o.api.server.URL}
	}
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(kubeconfig, cfg); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	args := []string{
		"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
		"--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(port),
		"--leader-elect=" + strconv.FormatBool(o.leaderElect),
		"--leader-elect-lease-duration", "4s", "--leader-elect-renew-deadline", "3s", "--leader-elect-retry-period", "500ms",
		"--webhook-bind-address", "127.0.0.1", "-v", "3",
	}
	if o.gangs {
		args = append(args, "--feature-gates=GenericWorkload=true")
	}
	webhook := suite.plane.webhookPort
	if o.noWebhook {
		webhook = 0
	}
	args = append(args, "--webhook-port", strconv.Itoa(webhook))

	s := &scheduler{t: t, log: filepath.Join(dir, "vm-scheduler.log"), done: make(chan struct{})}
	logFile, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(filepath.Join(suite.dir, "vm-scheduler"), args...)
	s.cmd.Stdout, s.cmd.Stderr = logFile, logFile
	// The scheduler must not outlive a test run that is killed.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		_ = logFile.Close()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("vm-scheduler's log:\n%s", s.tail(4000))
		}
	})
	if !o.leaderElect {
		s.waitLog("Starting to process scheduling queue", "Handlers synced")
	}
	if webhook != 0 {
		waitWebhook(t)
	}
	return s
}

// kill ends the process as a crash would.
func (s *scheduler) kill() {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGKILL)
		<-s.done
	})
}

func (s *scheduler) read() []byte {
	data, _ := os.ReadFile(s.log)
	return data
}

func (s *scheduler) tail(n int) string {
	data := s.read()
	return string(data[max(0, len(data)-n):])
}

// waitLog waits until one of the texts is in the log.
func (s *scheduler) waitLog(texts ...string) {
	s.t.Helper()
	deadline := time.Now().Add(eventually)
	for time.Now().Before(deadline) {
		for _, text := range texts {
			if bytes.Contains(s.read(), []byte(text)) {
				return
			}
		}
		select {
		case <-s.done:
			s.t.Fatalf("vm-scheduler ended:\n%s", s.tail(3000))
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.t.Fatalf("vm-scheduler has not logged any of %q:\n%s", texts, s.tail(3000))
}

func writeKubeconfig(path string, cfg *rest.Config) error {
	const name = "domus"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{name: {Server: serverURL(cfg), CertificateAuthorityData: cfg.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}},
		Contexts:  map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}}, CurrentContext: name,
	}, path)
}

func serverURL(cfg *rest.Config) string {
	if len(cfg.CAData) > 0 {
		u, _, err := rest.DefaultServerUrlFor(cfg)
		if err == nil {
			return fmt.Sprintf("%s://%s", u.Scheme, u.Host)
		}
	}
	return cfg.Host
}
