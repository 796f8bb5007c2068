package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
)

const (
	// heartbeatEvery is how often the status of a Node without a kubelet is
	// written although nothing has changed, as the kubelet does. That the host
	// lives is said by its Lease.
	heartbeatEvery = 5 * time.Minute
	// connectGrace is how long libvirt may take at the start before the host is
	// said to be without it: a restart of the executor alone changes nothing.
	connectGrace = 20 * time.Second
	// hostTimeout bounds one look at the Node and the Hypervisor.
	hostTimeout = time.Minute
)

// followHost keeps the Node and the Hypervisor as they should be.
func (a *Agent) followHost(ctx context.Context) {
	newBackoff := func() wait.Backoff {
		return wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 30 * time.Second}
	}
	backoff := newBackoff()
	next := a.clock.NewTimer(connectGrace)
	began, seen := a.clock.Now(), false
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.hostChanged:
		case <-next.C():
		}
		seen = seen || a.Ready()
		if !seen && a.clock.Since(began) < connectGrace {
			continue // next is still running
		}
		pause := wait.Jitter(heartbeatEvery, 0.05)
		if err := a.syncHost(ctx); err != nil {
			pause = backoff.Step()
			klog.FromContext(ctx).Info("Reporting the host failed and is repeated", keyError, err.Error(), keyQueueing, pause)
		} else {
			backoff = newBackoff()
		}
		next.Reset(pause)
	}
}

// syncHost writes the Node and the Hypervisor where they differ from what they
// should be.
func (a *Agent) syncHost(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	if a.config.Mode == hostconfig.ModePartitioned {
		if err := a.lookAtKubelet(ctx); err != nil {
			return errors.Join(err, a.syncHypervisor(ctx, nil))
		}
	}
	var known *account
	if sum, ok := a.registry.account(); ok {
		known = &sum
	}
	// The Hypervisor is there before its Node offers anything.
	if err := errors.Join(a.syncHypervisor(ctx, known), a.syncNode(ctx, known)); err != nil {
		return err
	}
	if known != nil {
		a.hasReported()
	}
	return nil
}

// lookAtKubelet learns what the kubelet of a partitioned host offers to pods.
func (a *Agent) lookAtKubelet(ctx context.Context) error {
	node, err := a.ensureNode(ctx, nil)
	if err != nil {
		return err
	}
	if _, reported := node.Status.Allocatable[corev1.ResourceCPU]; !reported {
		return fmt.Errorf("reading Node %s: its kubelet has not said yet what pods may have", node.Name)
	}
	a.registry.offeredToPods(podResources{capacity: node.Status.Capacity, allocatable: node.Status.Allocatable})
	return nil
}

func (a *Agent) syncNode(ctx context.Context, known *account) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		node, err := a.ensureNode(ctx, known)
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.nodeUID = node.UID
		// ready, not connected: what runs here is not known before.
		connected := a.ready
		a.mu.Unlock()

		if known != nil {
			if err := a.patchNodeStatus(ctx, node, *known); err != nil {
				return err
			}
		}
		old := node.DeepCopy()
		wantMeta(node, a.config, connected, a.clock.Now())
		if reflect.DeepEqual(old.Labels, node.Labels) && reflect.DeepEqual(old.Spec, node.Spec) {
			return nil
		}
		// Taints are one list with many writers: only a list that has not
		// changed since is replaced.
		patch := client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})
		if err := a.live.Patch(ctx, node, patch); err != nil {
			return fmt.Errorf("writing labels and taints of Node %s: %w", node.Name, err)
		}
		return nil
	})
}

// ensureNode reads the Node, and creates it where that is the executor's to do.
func (a *Agent) ensureNode(ctx context.Context, known *account) (*corev1.Node, error) {
	node := &corev1.Node{}
	err := a.live.Get(ctx, types.NamespacedName{Name: a.config.NodeName}, node)
	switch {
	case err == nil:
		return node, nil
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("reading Node %s: %w", a.config.NodeName, err)
	case !a.config.RegisterNode:
		return nil, fmt.Errorf("reading Node %s: %w: start its kubelet, or set registerNode for a host without one", a.config.NodeName, err)
	}
	arch := ""
	if known != nil {
		arch = known.description.Arch
	}
	node = newNode(a.config, arch)
	if err := a.live.Create(ctx, node); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("creating Node %s: %w", a.config.NodeName, err)
	}
	klog.FromContext(ctx).Info("Created the Node")
	if err := a.live.Get(ctx, types.NamespacedName{Name: a.config.NodeName}, node); err != nil {
		return nil, fmt.Errorf("reading Node %s: %w", a.config.NodeName, err)
	}
	return node, nil
}

// patchNodeStatus sets the resources, and on a Node without a kubelet that the
// Node is alive. The patch names nothing else.
func (a *Agent) patchNodeStatus(ctx context.Context, node *corev1.Node, known account) error {
	now := a.clock.Now()
	old := node.DeepCopy()
	wantStatus(node, a.config, known)
	if a.config.RegisterNode {
		wantRegistered(node, known, kernelVersion(known.description.Simulated), now)
		a.mu.Lock()
		due := now.Sub(a.heartbeat) >= heartbeatEvery
		a.mu.Unlock()
		if !due {
			keepHeartbeat(old, node)
		}
	}
	if reflect.DeepEqual(old.Status, node.Status) {
		return nil
	}
	if err := a.live.Status().Patch(ctx, node, client.StrategicMergeFrom(old)); err != nil {
		return fmt.Errorf("writing status of Node %s: %w", node.Name, err)
	}
	a.mu.Lock()
	a.heartbeat = now
	a.mu.Unlock()
	return nil
}

// syncHypervisor creates the Hypervisor and writes its status where it differs.
func (a *Agent) syncHypervisor(ctx context.Context, known *account) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		hv := &v1alpha1.Hypervisor{}
		err := a.live.Get(ctx, types.NamespacedName{Name: a.config.NodeName}, hv)
		if apierrors.IsNotFound(err) {
			hv = &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: a.config.NodeName}}
			err = a.live.Create(ctx, hv)
		}
		if err != nil {
			return fmt.Errorf("reading or creating Hypervisor %s: %w", a.config.NodeName, err)
		}
		old := hv.DeepCopy()
		versions := v1alpha1.Versions{Executor: a.version, Kernel: kernelVersion(known != nil && known.description.Simulated)}
		hv.Status.Pools = a.volumes.Pools(hv.Status.Pools)
		wantHypervisor(&hv.Status, known, a.Ready(), versions, hv.Generation, a.clock.Now())
		if interfaces, networks, known := a.networks.Report(); known {
			hv.Status.Interfaces, hv.Status.Networks = interfaces, networks
		}
		hv.Status.CNINetworks, hv.Status.CNIPlugins = a.cni.offers(), a.cni.offersPlugins()
		hv.Status.Transfer = a.transferAt()
		if reflect.DeepEqual(old.Status, hv.Status) {
			return nil
		}
		return a.patchHypervisorStatus(ctx, hv)
	})
}

// patchHypervisorStatus writes the status whole. A merge patch would leave out
// amounts of 0, which the schema requires. The leader writes the same
// conditions when the host is silent, so only what was read is replaced.
func (a *Agent) patchHypervisorStatus(ctx context.Context, hv *v1alpha1.Hypervisor) error {
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/resourceVersion", "value": hv.ResourceVersion},
		{"op": "add", "path": "/status", "value": hv.Status},
	})
	if err != nil {
		return fmt.Errorf("writing status of Hypervisor %s: %w", hv.Name, err)
	}
	err = a.live.Status().Patch(ctx, hv, client.RawPatch(types.JSONPatchType, patch))
	if apierrors.IsInvalid(err) {
		// The test failed: somebody else has written.
		return apierrors.NewConflict(v1alpha1.Resource("hypervisors"), hv.Name, err)
	}
	if err != nil {
		return fmt.Errorf("writing status of Hypervisor %s: %w", hv.Name, err)
	}
	return nil
}
