package integration

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// buildExecutor builds the vm-executor, which few of the tests run.
var buildExecutor = sync.OnceValue(func() error { return build(suite.dir, "domus.dev/domus/cmd/vm-executor") })

// simulatedHost is a host with an executor of its own, on which no guest really
// runs.
type simulatedHost struct {
	t       *testing.T
	name    string
	dir     string
	process *process
}

// startHost starts the executor of a simulated host that the namespace's VMs
// fit on, and waits until the host is offered.
func startHost(t *testing.T, ns string) *simulatedHost {
	t.Helper()
	if err := buildExecutor(); err != nil {
		t.Fatal(err)
	}
	h := &simulatedHost{t: t, name: ns + "-sim", dir: t.TempDir()}
	cfg, err := suite.plane.as("domus:executor:"+h.name, "domus:executors")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(h.dir, kubeconfigName)
	if err := writeKubeconfig(kubeconfig, cfg); err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Marshal(map[string]any{
		"stateDir": h.dir,
		"hosts": []any{map[string]any{
			"nodeName": h.name, "kubeconfig": kubeconfig, "registerNode": true, "labels": map[string]string{"test": ns},
			"simulated": map[string]any{"cpus": 16, "memory": "64Gi"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "config.yaml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		remove(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.name}})
		remove(&v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: h.name}})
		remove(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.LeaseNamespace, Name: h.name}})
	})
	h.start()
	for deadline := time.Now().Add(eventually); ; time.Sleep(100 * time.Millisecond) {
		node := &corev1.Node{}
		if suite.client.Get(t.Context(), types.NamespacedName{Name: h.name}, node) == nil && !node.Status.Allocatable.Name(v1alpha1.ResourceCPU, "").IsZero() {
			return h
		}
		if time.Now().After(deadline) {
			t.Fatalf("host %s offers nothing", h.name)
		}
	}
}

// start starts the executor, after a kill too. All guests are gone then: they are
// in its memory.
func (h *simulatedHost) start() {
	h.t.Helper()
	dir, err := os.MkdirTemp(h.dir, "run-")
	if err != nil {
		h.t.Fatal(err)
	}
	h.process = launch(h.t, dir, "vm-executor", "--config", filepath.Join(h.dir, "config.yaml"))
}
