package hostheadroom

import (
	"encoding/json"
	"fmt"
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// vm is what a VM would ask of a host if it were started there. It is never
// changed.
type vm struct {
	uid types.UID
	// placement is what the VM was read from, beside its amounts.
	placement string
	request   numa.Request
	// amounts are the totals that it counts for, dedicated CPUs among them.
	amounts capacity.Resources
	// shape is equal for VMs that ask the same of cells, CPUs and devices; it is
	// the zero value where that is nothing.
	shape unique.Handle[shape]
	// rules is nil where the VM takes any host that is open to all.
	rules *rules
}

// rules are on which hosts a VM may run at all.
type rules struct {
	affinity    nodeaffinity.RequiredNodeAffinity
	tolerations []corev1.Toleration
	// key is equal for equal rules.
	key string
}

// newVM reads a projected Pod; amounts are what it holds, or asks for. Where more
// cannot be read, the amounts alone count.
func newVM(pod *corev1.Pod, amounts capacity.Resources) *vm {
	v := &vm{uid: pod.UID, placement: podless.PlacementTextOf(pod), amounts: amounts, rules: rulesOf(pod)}
	var err error
	if v.placement == "" {
		v.request, err = podless.NUMARequestOf(pod)
	} else {
		v.request, err = placedRequest(v.placement)
	}
	if err != nil {
		v.request = numa.Request{}
	}
	if !v.request.Floats() {
		v.shape = unique.Make(shapeOf(&v.request))
	}
	return v
}

func (v *vm) bound() bool { return v.shape != unique.Handle[shape]{} }

// shape is a request that can be compared.
type shape struct {
	granted   v1alpha1.GrantedResources
	numa      v1alpha1.NUMAPolicy
	cpuPolicy v1alpha1.CPUPolicy
	threads   v1alpha1.ThreadPolicy
	devices   string
}

func shapeOf(r *numa.Request) shape {
	s := shape{granted: r.Granted, numa: r.NUMA, cpuPolicy: r.CPUPolicy, threads: r.Threads}
	for _, d := range r.Devices {
		s.devices += fmt.Sprintf("%d %s ", d.Count, d.Name)
	}
	return s
}

// count is a number of VMs of one shape, with one's request.
type count struct {
	shape   unique.Handle[shape]
	request *numa.Request
	n       int64
}

// of is the count of the VM's shape; nil when there is none.
func of(counts []count, v *vm) *count {
	for i := range counts {
		if counts[i].shape == v.shape {
			return &counts[i]
		}
	}
	return nil
}

// placedRequest is what a VM that lies like this may have asked for. Whether
// several cells were the fewest or the most is not known any more: the fewest
// that hold it count.
func placedRequest(text string) (numa.Request, error) {
	p, err := podless.ParsePlacement(text)
	if err != nil {
		return numa.Request{}, err
	}
	r := numa.Request{Granted: p.Granted}
	cells := 0
	for i := range p.Cells {
		if p.Cells[i].Memory > 0 {
			cells++
		}
		if p.Cells[i].CPUs != "" {
			r.CPUPolicy = v1alpha1.CPUDedicated
		}
		if p.Cells[i].Idle != "" {
			r.Threads = v1alpha1.ThreadsApart
		}
	}
	switch cells {
	case 0:
	case 1:
		r.NUMA = v1alpha1.NUMASingleCell
	default:
		r.NUMA = v1alpha1.NUMARestricted
	}
	for _, d := range p.Devices {
		at := slices.IndexFunc(r.Devices, func(have v1alpha1.DeviceRequest) bool { return have.Name == d.Name })
		if at < 0 {
			at, r.Devices = len(r.Devices), append(r.Devices, v1alpha1.DeviceRequest{Name: d.Name})
		}
		r.Devices[at].Count++
	}
	return r, nil
}

// rulesOf is nil for a Pod without a node selector, required node affinity and
// tolerations of its own.
func rulesOf(pod *corev1.Pod) *rules {
	spec := &pod.Spec
	own := slices.DeleteFunc(slices.Clone(spec.Tolerations), func(t corev1.Toleration) bool { return t.Key == v1alpha1.HypervisorTaint })
	var required *corev1.NodeSelector
	if spec.Affinity != nil && spec.Affinity.NodeAffinity != nil {
		required = spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	if len(spec.NodeSelector) == 0 && required == nil && len(own) == 0 {
		return nil
	}
	// Plain structs of strings and numbers can always be written as JSON.
	key, _ := json.Marshal([]any{spec.NodeSelector, required, own})
	return &rules{affinity: nodeaffinity.GetRequiredNodeAffinity(pod), tolerations: spec.Tolerations, key: string(key)}
}

func (v *vm) key() string {
	if v.rules == nil {
		return ""
	}
	return v.rules.key
}

// larger orders amounts by memory of all kinds, then CPUs.
func larger(a, b capacity.Resources) bool {
	if ma, mb := memory(a), memory(b); ma != mb {
		return ma > mb
	}
	return a.CPU > b.CPU
}

func memory(r capacity.Resources) int64 { return r.Memory + r.Hugepages2Mi + r.Hugepages1Gi }
