package browser

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

const (
	// clusterHosts are as many as the demo has.
	clusterHosts = 20
	namespace    = "shop"
	patience     = 2 * time.Minute
)

// The map of a cluster with the demo's simulated hosts and VMs, through virtctl.
func TestTheMapOfACluster(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "domus-browser-")
	if err != nil {
		t.Fatal(err)
	}
	c := &live.Cluster{Dir: dir, Bin: bin, Out: t.Output()}
	t.Cleanup(func() {
		if t.Failed() {
			c.ShowLogs()
		}
		if err := c.End(); err != nil {
			t.Error(err)
		}
	})
	up := []string{"--real-host=false", fmt.Sprint("--simulated-hosts=", clusterHosts)}
	if err := c.Up(up...); err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	applySamples(t, c)
	for _, vm := range []*v1alpha1.VirtualMachine{
		shopVM("warehouse-1", 48, "160Gi", v1alpha1.NUMASingleCell),
		shopVM("trainer-1", 8, "300Gi", v1alpha1.NUMANone),
		shopVM("cart-1", 12, "40Gi", v1alpha1.NUMANone),
		shopVM("cart-2", 24, "160Gi", v1alpha1.NUMASpread),
		shopVM("search-1", 28, "88Gi", v1alpha1.NUMASingleCell),
		shopVM("search-2", 30, "80Gi", v1alpha1.NUMASingleCell),
		shopVM("search-3", 24, "72Gi", v1alpha1.NUMASingleCell),
	} {
		if err := c.Create(t.Context(), vm); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, c)

	url := virtctlMap(t, dir)
	watch(t, "cluster.mjs", url, clusterHosts, func(what string) error {
		verb, name, _ := strings.Cut(what, " ")
		switch verb {
		case "create":
			return c.Create(t.Context(), shopVM(name, 4, "8Gi", v1alpha1.NUMASingleCell))
		case "delete":
			return c.Delete(t.Context(), shopVM(name, 4, "8Gi", v1alpha1.NUMASingleCell))
		case "restart":
			return errors.Join(c.Kill("vm-scheduler"), c.Up(up...))
		}
		return fmt.Errorf("it cannot be asked to %s", what)
	})
}

func shopVM(name string, cpu int32, memory string, policy v1alpha1.NUMAPolicy) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: cpu, Memory: resource.MustParse(memory), NUMA: policy}
	return vm
}

// applySamples makes the demo's objects, but its real guests, and namespace shop.
func applySamples(t *testing.T, c client.Client) {
	t.Helper()
	samples, err := manifests.Samples()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	// Namespace and priority first.
	files := []string{"demo/namespace.yaml", "demo/priority.yaml"}
	err = fs.WalkDir(samples, "demo", func(name string, d fs.DirEntry, err error) error {
		if base := path.Base(name); err == nil && !d.IsDir() && base != "namespace.yaml" && base != "priority.yaml" && base != "guests.yaml" {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		content, err := fs.ReadFile(samples, name)
		if err != nil {
			t.Fatal(err)
		}
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
			u := &unstructured.Unstructured{}
			if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(u.Object) == 0 {
				continue
			}
			if err := c.Create(t.Context(), u); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// settled waits until every VM runs or has been told why it waits.
func settled(t *testing.T, c client.Client) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		list := &v1alpha1.VirtualMachineList{}
		if err := c.List(t.Context(), list); err != nil {
			last = err.Error()
			continue
		}
		last = ""
		for i := range list.Items {
			vm := &list.Items[i]
			scheduled := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
			if vm.Status.Phase != v1alpha1.PhaseRunning && (scheduled == nil || scheduled.Message == "") {
				last = fmt.Sprintf("%s is %s", types.NamespacedName{Namespace: vm.Namespace, Name: vm.Name}, vm.Status.Phase)
			}
		}
		if last == "" {
			return
		}
	}
	t.Fatal(last)
}

// virtctlMap runs the command, as the cluster's administrator, and returns the page's
// address.
func virtctlMap(t *testing.T, dir string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "virtctl"), "map", "--kubeconfig", filepath.Join(dir, "kubeconfig"))
	cmd.Stderr = t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signaled() {
			t.Errorf("virtctl map did not end when it was interrupted: %v", cmd.ProcessState)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("virtctl map: %v", err)
	}
	return strings.TrimSpace(line)
}
