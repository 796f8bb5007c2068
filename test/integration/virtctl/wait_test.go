package virtctl

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

func TestWaitForWhatIsSo(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.vm("job", v1alpha1.PowerRunning, v1alpha1.HostEnded, policy(v1alpha1.RunOnce))
	w.virtctl("wait", "web", "--for=running").prints(t, "virtualmachine/web runs\n")
	w.virtctl("wait", "job", "--for=stopped").prints(t, "virtualmachine/job is stopped\n")
	w.virtctl("wait", "none", "--for=deleted").prints(t, "virtualmachine/none is gone\n")
	w.virtctl("wait", "none", "--for=running").fails(t, failure.Missing, `no virtualmachine "none"`)
	w.virtctl("wait", "-l", "app=none", "--for=running").fails(t, failure.Missing)
	w.virtctl("wait", "-l", "app=none", "--for=deleted").prints(t, "")
}

func TestWaitFailsAtOnceForWhatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.vm("off", v1alpha1.PowerStopped, v1alpha1.HostStopped)
	held := w.vm("held", v1alpha1.PowerRunning, "")
	w.status("held", func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Phase, vm.Status.Hold = v1alpha1.PhaseInvalid, &v1alpha1.Hold{Generation: held.Generation, Reason: v1alpha1.ReasonInvalidDomain, Message: "no such machine"}
	})
	begun := time.Now()
	w.virtctl("wait", "off", "--for=running").fails(t, failure.Denied, "`virtctl start off`")
	w.virtctl("start", "held", "--wait").fails(t, failure.Denied, "no such machine", "change its spec")
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestWaitTellsWhatItWaitedForInVain(t *testing.T) {
	w := newWorld(t)
	w.vm("huge", v1alpha1.PowerRunning, "")
	w.status("huge", func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnschedulable, Message: "need 9 vCPUs", LastTransitionTime: metav1.Now()}}
	})
	w.virtctl("start", "huge", "--wait", "--timeout=2s").fails(t, failure.Late, `"huge" is not running after 2s: has no host: Unschedulable: need 9 vCPUs`, "`virtctl wait huge --for=running`")
}

func TestWaitFollowsTheVMAndNoneOfItsName(t *testing.T) {
	w := newWorld(t)
	vm := w.vm("web", v1alpha1.PowerRunning, "")
	replaced := func() {
		if err := suite.client.Delete(t.Context(), vm); err != nil {
			t.Error(err)
		}
		w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	}
	soon := time.Now().Add(2 * time.Second)
	done := w.soon(func() bool { return time.Now().After(soon) }, replaced)
	w.virtctl("wait", "web", "--for=running").fails(t, failure.Missing, "has been deleted")
	done()
	vm = w.get("web")
	soon = time.Now().Add(2 * time.Second)
	done = w.soon(func() bool { return time.Now().After(soon) }, replaced)
	w.virtctl("wait", "web", "--for=deleted").prints(t, "virtualmachine/web is gone\n")
	done()
}

// A watch that closes, and an API server that fails for a while, are outlived.
func TestWaitOutlivesItsWatch(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, "")
	proxy := newProxy(t)
	w.soon(func() bool { return proxy.watches.Load() > 0 }, func() {
		proxy.away.Store(true)
		proxy.server.CloseClientConnections()
		w.says("web", v1alpha1.HostRunning)
		time.Sleep(2 * time.Second)
		proxy.away.Store(false)
	})
	w.virtctlAs(proxy.kubeconfig, "", "wait", "web", "--for=running", "--timeout=60s").prints(t, "virtualmachine/web runs\n")
	if n := proxy.watches.Load(); n < 2 {
		t.Errorf("%d watches: none was closed", n)
	}
}

// proxy stands between virtctl and the API server.
type proxy struct {
	server     *httptest.Server
	kubeconfig string
	watches    atomic.Int32
	away       atomic.Bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	transport, err := rest.TransportFor(suite.config)
	if err != nil {
		t.Fatal(err)
	}
	target, _, err := rest.DefaultServerUrlFor(suite.config)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	forward.Transport, forward.FlushInterval = transport, -1
	p.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if p.away.Load() {
			http.Error(out, "away", http.StatusServiceUnavailable)
			return
		}
		if r.URL.Query().Get("watch") != "" {
			p.watches.Add(1)
		}
		forward.ServeHTTP(out, r)
	}))
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
	})
	p.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"proxy": {Server: p.server.URL}},
		Contexts: map[string]*clientcmdapi.Context{"proxy": {Cluster: "proxy"}}, CurrentContext: "proxy",
	}, p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}
