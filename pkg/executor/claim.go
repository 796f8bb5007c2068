package executor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// claimLook lies between two looks whether another machine is this host.
const claimLook = leaseRenewal / 2

// claim keeps two machines from being one host: both would run its VMs, on the same
// disks where those are shared. A host with a kubelet is kept so by that.
type claim struct {
	node, machine string
	clientset     kubernetes.Interface
	clock         clock.WithTicker
	// done is closed when this machine is the host.
	done chan struct{}

	mu    sync.Mutex
	waits string
}

func newClaim(node, machine string, clientset kubernetes.Interface, clk clock.WithTicker) *claim {
	return &claim{node: node, machine: machine, clientset: clientset, clock: clk, done: make(chan struct{})}
}

// wait returns when this machine is the host, or false when ctx ended. An API server
// that does not answer is asked again.
func (c *claim) wait(ctx context.Context) bool {
	logger := klog.FromContext(ctx)
	seen := &tenancy{machine: c.machine}
	for {
		of, renewed, err := c.look(ctx)
		switch {
		case err != nil:
			logger.Info("Whether another machine is this host is not known yet", keyError, err.Error())
		case seen.mine(of, renewed, c.clock.Now()):
			c.say("")
			close(c.done)
			return true
		case c.say(seen.reason(c.node)):
			logger.Info("Another machine may be this host", "reason", seen.reason(c.node))
		}
		select {
		case <-ctx.Done():
			return false
		case <-c.clock.After(claimLook):
		}
	}
}

// held returns when wait did with true, or false when ctx ended.
func (c *claim) held(ctx context.Context) bool {
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// look finds out which machine renews the Lease of the host, and when it did.
func (c *claim) look(ctx context.Context) (machine string, renewed time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	lease, err := c.clientset.CoordinationV1().Leases(v1alpha1.LeaseNamespace).Get(ctx, c.node, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return "", time.Time{}, fmt.Errorf("reading Lease %s: %w", c.node, err)
	}
	if err != nil || lease.Spec.RenewTime == nil || lease.Spec.HolderIdentity == nil {
		return "", time.Time{}, nil
	}
	return machineOf(*lease.Spec.HolderIdentity), lease.Spec.RenewTime.Time, nil
}

// say keeps what is waited for, and tells whether that is new.
func (c *claim) say(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	isNew := c.waits != what
	c.waits = what
	return isNew
}

// waitsFor says in words what keeps this machine from being the host, or "".
func (c *claim) waitsFor() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waits
}

// tenancy decides whether this machine is the host of its name. Clocks of machines are
// not compared: another one lives when its Lease is renewed while it is looked at.
type tenancy struct {
	machine string

	other          string
	since, renewed time.Time
	lives          bool
}

// mine takes in what was seen. Once another was seen to live this machine is not the
// host, until vm-executor is started again: one that is merely cut off from the cluster
// still has its guests.
func (t *tenancy) mine(machine string, renewed, now time.Time) bool {
	if t.lives {
		return false
	}
	if machine == "" || t.machine == "" || machine == t.machine {
		return true
	}
	if machine != t.other {
		t.other, t.since, t.renewed = machine, now, renewed
	}
	t.lives = !renewed.Equal(t.renewed)
	return !t.lives && now.Sub(t.since) >= leaseDuration
}

func (t *tenancy) reason(node string) string {
	if !t.lives {
		return fmt.Sprintf("the last machine to be host %s was another one (system UUID %s, this one's is %s): waiting for %s whether that one lives", node, t.other, t.machine, leaseDuration)
	}
	return fmt.Sprintf("another machine is host %s (system UUID %s, this one's is %s): give this one a name of its own by `virtctl host add` and nodeName; where it takes the other's place, end vm-executor there and start it here again", node, t.other, t.machine)
}

// systemUUID is what this machine is known by, whatever system is installed on it; ""
// where nothing says so.
func systemUUID() string {
	for _, path := range []string{"/sys/class/dmi/id/product_uuid", "/etc/machine-id"} {
		if data, err := os.ReadFile(path); err == nil {
			if id := strings.ToLower(strings.TrimSpace(string(data))); id != "" {
				return id
			}
		}
	}
	return ""
}
