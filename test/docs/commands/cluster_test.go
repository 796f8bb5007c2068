package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

// cluster is a checkout of the project in a folder of its own, in which the demo runs
// as the quickstart brings it up: 20 simulated hosts, a real one, and the samples.
type cluster struct {
	live.Cluster
	checkout string
}

func newCluster() (*cluster, error) {
	project, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(project, "bin")
	if err := live.Prerequisites(bin, "test-docs"); err != nil {
		return nil, err
	}
	// Short, for the sake of Unix sockets.
	checkout, err := os.MkdirTemp("/tmp", "domus-docs-")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"bin", "docs", "hack", "manifests", "pkg", "test", "Makefile", "go.mod", "README.md"} {
		if err := os.Symlink(filepath.Join(project, name), filepath.Join(checkout, name)); err != nil {
			return nil, err
		}
	}
	return &cluster{
		Cluster:  live.Cluster{Dir: filepath.Join(checkout, ".run", "demo"), Bin: bin, Out: os.Stdout},
		checkout: checkout,
	}, nil
}

func (c *cluster) begin() error {
	if err := c.Up("--samples"); err != nil {
		return err
	}
	return c.Connect()
}

// end ends the demo, and other clusters that pages have brought up.
func (c *cluster) end() error {
	var wrong []error
	others, err := filepath.Glob(filepath.Join(c.checkout, ".run", "*"))
	wrong = append(wrong, err)
	for _, dir := range others {
		if dir != c.Dir {
			other := live.Cluster{Dir: dir, Bin: c.Bin, Out: c.Out}
			wrong = append(wrong, other.End())
		}
	}
	wrong = append(wrong, c.End())
	if errors.Join(wrong...) == nil {
		wrong = append(wrong, os.RemoveAll(c.checkout))
	}
	return errors.Join(wrong...)
}

// environment is a person's who has the programs of bin in the PATH.
func (c *cluster) environment() []string {
	path := filepath.Join(c.checkout, "bin") + ":" + filepath.Join(c.checkout, "bin", "tools") + ":" + os.Getenv("PATH")
	return append(os.Environ(), "PATH="+path, "KUBECONFIG="+filepath.Join(c.Dir, "kubeconfig"), "NO_COLOR=1", "COLUMNS=400")
}

// kinds are those of which pages make objects, in the order in which these are removed.
var kinds = []schema.GroupVersionKind{
	v1alpha1.GroupVersion.WithKind("VirtualMachineSnapshotSchedule"),
	v1alpha1.GroupVersion.WithKind("VirtualMachineOperation"),
	v1alpha1.GroupVersion.WithKind("TransferTicket"),
	v1alpha1.GroupVersion.WithKind("VirtualMachine"),
	v1alpha1.GroupVersion.WithKind("VirtualMachineSnapshot"),
	v1alpha1.GroupVersion.WithKind("VirtualDisk"),
	v1alpha1.GroupVersion.WithKind("VirtualDiskImage"),
	v1alpha1.GroupVersion.WithKind("VirtualNetwork"),
	v1alpha1.GroupVersion.WithKind("VirtualMachineClass"),
	{Group: "scheduling.k8s.io", Version: "v1beta1", Kind: "PodGroup"},
	{Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	{Version: "v1", Kind: "Secret"},
}

// objects are those of kinds that there are.
func (c *cluster) objects(ctx context.Context) (map[types.UID]bool, error) {
	out := map[types.UID]bool{}
	return out, c.each(ctx, func(o *unstructured.Unstructured) error {
		out[o.GetUID()] = true
		return nil
	})
}

func (c *cluster) each(ctx context.Context, do func(*unstructured.Unstructured) error) error {
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		if err := c.List(ctx, list); err != nil {
			return fmt.Errorf("listing %s: %w", kind.Kind, err)
		}
		for i := range list.Items {
			if err := do(&list.Items[i]); err != nil {
				return fmt.Errorf("%s %s/%s: %w", kind.Kind, list.Items[i].GetNamespace(), list.Items[i].GetName(), err)
			}
		}
	}
	return nil
}

// putBack removes what was not there before, so that a page does not depend on the
// one before it, and waits until it is gone. A sample that a page has removed, and not
// put back, is an error: the next pages show it.
func (c *cluster) putBack(ctx context.Context, before map[types.UID]bool) error {
	deadline := time.Now().Add(time.Minute)
	for {
		left, now := "", map[types.UID]bool{}
		err := c.each(ctx, func(o *unstructured.Unstructured) error {
			now[o.GetUID()] = true
			if before[o.GetUID()] {
				return nil
			}
			left = o.GetKind() + " " + o.GetName()
			if o.GetDeletionTimestamp() != nil {
				return nil
			}
			return client.IgnoreNotFound(c.Delete(ctx, o))
		})
		switch {
		case err != nil:
			return err
		case left == "":
			for uid := range before {
				if !now[uid] {
					return errors.New("the page has removed what was there before it, and not put it back")
				}
			}
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s is still there", left)
		}
		time.Sleep(300 * time.Millisecond)
	}
}
