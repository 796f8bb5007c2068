package fleet

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// Ask is what a VM asks of a host, to be compared: equal for VMs that ask for
// the same.
type Ask struct {
	amounts v1alpha1.GrantedResources
	// special is what it asks of cells, CPUs and devices; "" for most.
	special string
}

// AskOf is the Ask of a projected Pod with this request.
func AskOf(pod *corev1.Pod, r *numa.Request) Ask {
	return Ask{amounts: r.Granted, special: podless.SpecialTextOf(pod)}
}

// memo is the last number that someone derived from an account. VMs that come
// together mostly ask for the same, and of thousands of hosts one has changed
// since the VM before.
type memo struct {
	mu  sync.Mutex
	by  any
	ask Ask
	n   int64
}

// UsageMemo is Usage, with what derive returned for the same ask when it was
// called last on this very state of the host; it is called only when there is
// nothing such. by tells plugins, and their differently configured instances,
// apart; derive must depend on nothing but the usage and what ask stands for.
func (f *Fleet) UsageMemo(cs fwk.CycleState, node fwk.NodeInfo, by any, ask *Ask, derive func(*numa.Usage) int64) (int64, bool) {
	a := f.account(cs, node)
	if a == nil {
		return 0, false
	}
	a.memo.mu.Lock()
	defer a.memo.mu.Unlock()
	if a.memo.by != by || a.memo.ask != *ask {
		a.memo.n = derive(a.usage)
		a.memo.by, a.memo.ask = by, *ask
	}
	return a.memo.n, true
}
