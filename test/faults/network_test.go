package faults

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// cutAPI is a network that swallows what passes between the host and the API
// server: no connection is refused or reset, and nothing arrives.
var cutAPI = func() *fault {
	var w *wire
	return &fault{
		name: "host cut off from the API server for 70 s", lasts: 70 * time.Second,
		prepare: func(t *testing.T) {
			w = layWire(t)
			kill(t, executor)
			w.startExecutor(t)
		},
		strike: func(t *testing.T, hit []*subject) {
			bound(t, hit)
			w.cut()
		},
		amid: func(t *testing.T, _ []*subject) {
			within(t, settleTime, "the host is found out to be silent", func() string { return tainted(t, v1alpha1.ExecutorUnreachableTaint) })
		},
		heal: func(t *testing.T, _ []*subject) { w.mend() },
		after: func(t *testing.T) {
			w.takeUp(t)
			up(t)
		},
	}
}()

// wire leads the executor's connections to the API server.
type wire struct {
	listener net.Listener
	server   string
	executor *exec.Cmd

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

// layWire has the executor's kubeconfig lead through a wire; domus-dev up would
// put it right again.
func layWire(t *testing.T) *wire {
	t.Helper()
	path := filepath.Join(env.Dir, "pki", "kubeconfigs", "executor-"+realNode+".kubeconfig")
	config, err := clientcmd.LoadFromFile(path)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wire{listener: listener}
	for _, cluster := range config.Clusters {
		server, err := url.Parse(cluster.Server)
		must(t, err)
		w.server = server.Host
		cluster.Server = "https://" + listener.Addr().String()
	}
	must(t, clientcmd.WriteToFile(*config, path))
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

func (w *wire) serve(client net.Conn) {
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		_ = client.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, client, server)
	w.mu.Unlock()
	go w.carry(server, client)
	w.carry(client, server)
}

// carry copies until one end is closed; what comes while the wire is cut is lost.
func (w *wire) carry(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !w.swallows() {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) swallows() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isCut
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
}

// mend ends the connections that have lost something, as TCP would.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// startExecutor starts it as domus-dev does.
func (w *wire) startExecutor(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(env.Dir, "logs", executor+".log"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	defer func() { _ = log.Close() }()
	w.executor = exec.Command(filepath.Join(env.Bin, "vm-executor"), "--config="+filepath.Join(env.Dir, "config", executor+".yaml"))
	w.executor.Stdout, w.executor.Stderr = log, log
	// It must not outlive a test run that is killed.
	w.executor.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, w.executor.Start())
}

// takeUp ends the executor and the wire.
func (w *wire) takeUp(t *testing.T) {
	t.Helper()
	if w == nil {
		return
	}
	_ = w.listener.Close()
	w.mend()
	if w.executor != nil {
		must(t, w.executor.Process.Kill())
		_ = w.executor.Wait()
	}
}
