package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// proxyModes are the modes of kube-proxy that the kernel and the programs of this
// machine can, found by trying the rules that only some have.
func proxyModes(t *testing.T) (can []string) {
	t.Helper()
	for _, mode := range []struct {
		name  string
		tries []string
	}{
		{"iptables", []string{"iptables", "-t", "nat", "-A", "POSTROUTING", "-m", "statistic", "--mode", "random", "--probability", "0.5", "-j", "MASQUERADE", "--random-fully"}},
		{"nftables", []string{"nft", "add table ip t; add chain ip t a { type nat hook prerouting priority -100; }; add rule ip t a fib daddr type local numgen random mod 2 vmap { 0 : accept, 1 : drop }"}},
	} {
		out, err := exec.Command("unshare", append([]string{"--net", "--"}, mode.tries...)...).CombinedOutput()
		t.Logf("kube-proxy in mode %s: %v %s", mode.name, map[bool]any{true: "can be", false: err}[err == nil], out)
		if err == nil {
			can = append(can, mode.name)
		}
	}
	return can
}

// network is the host's network namespace.
func (h realHost) network(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("/proc/%d/ns/net", h.libvirtd(t))
}

// reachesAPIServer has the API server answer in the host's network namespace, by the
// address that it has outside, until the test ends.
func (h realHost) reachesAPIServer(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(env.dir, "kubeconfig"))
	g.Expect(err).NotTo(HaveOccurred())
	at, err := url.Parse(config.Host)
	g.Expect(err).NotTo(HaveOccurred())
	var listener net.Listener
	g.Expect(netspace.Do(h.network(t), func() (err error) {
		listener, err = net.Listen("tcp", at.Host)
		return err
	})).To(Succeed())
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			inside, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer func() { _ = inside.Close() }()
				outside, err := net.Dial("tcp", at.Host)
				if err != nil {
					return
				}
				defer func() { _ = outside.Close() }()
				go func() {
					_, _ = io.Copy(outside, inside)
					_ = outside.Close()
				}()
				_, _ = io.Copy(inside, outside)
			}()
		}
	}()
}

// addressOf is the host's own on the network between hosts.
var addressOf = map[string]string{"real-1": "10.245.0.1", "real-2": "10.245.0.2"}

// routesServices gives the host what every machine has, a way for addresses that it
// knows no better one for: what its own processes send is routed before it is
// rewritten. And its Node has its address, by which kube-proxy masks what it must.
func (h realHost) routesServices(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.node}}
	patch := fmt.Sprintf(`{"status":{"addresses":[{"type":"InternalIP","address":%q}]}}`, addressOf[h.node])
	g.Expect(env.Status().Patch(t.Context(), n, client.RawPatch("application/strategic-merge-patch+json", []byte(patch)))).To(Succeed())
	inHost(t, "ip", "route", "replace", "default", "dev", "uplink")
}

const (
	proxyHealth  = "127.0.0.1:10256"
	proxyMetrics = "127.0.0.1:10249"
)

// proxy runs the real kube-proxy as the host's, until the test ends.
func (h realHost) proxy(t *testing.T, mode string) {
	t.Helper()
	g := NewWithT(t)
	program, err := filepath.Abs(program("tools/kube-proxy"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(program).To(BeAnExistingFile(), "make bin/tools/kube-proxy")
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	// Limits of connection tracking are the machine's, and not a namespace's to set.
	g.Expect(os.WriteFile(config, fmt.Appendf(nil, `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
hostnameOverride: %s
clusterCIDR: 10.244.0.0/16
clientConnection: {kubeconfig: %s}
healthzBindAddress: %s
metricsBindAddress: %s
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`, mode, h.node, filepath.Join(env.dir, "kubeconfig"), proxyHealth, proxyMetrics), 0o600)).To(Succeed())
	log, err := os.Create(filepath.Join(dir, "log"))
	g.Expect(err).NotTo(HaveOccurred())
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return "kube-proxy says:\n" + string(text)
	}
	space := h.network(t)
	cmd := exec.Command(program, "--config="+config)
	cmd.Stdout, cmd.Stderr = log, log
	g.Expect(netspace.Do(space, cmd.Start)).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = log.Close()
		if t.Failed() {
			t.Log(said())
		}
		// Its rules stay without it, as they are to.
		clean := exec.Command(program, "--config="+config, "--cleanup")
		var out strings.Builder
		clean.Stdout, clean.Stderr = &out, &out
		err := netspace.Do(space, clean.Start)
		if err == nil {
			err = clean.Wait()
		}
		if err != nil {
			t.Errorf("removing kube-proxy's rules: %v: %s", err, out.String())
		}
	})
	g.Eventually(func() (string, error) { return h.asks(t, proxyHealth+"/healthz") }).WithTimeout(settleTime).Should(Not(BeEmpty()), said)
}

// asks has a process of the host get what HTTP has at an address.
func (h realHost) asks(t *testing.T, url string) (string, error) {
	t.Helper()
	space := h.network(t)
	transport := &http.Transport{
		DisableKeepAlives: true, // each request is a connection, and led anew
		DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
			err = netspace.Do(space, func() error {
				conn, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial(network, address)
				return err
			})
			return conn, err
		},
	}
	c := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	response, err := c.Get("http://" + url)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return strings.TrimSpace(string(body)), err
}
