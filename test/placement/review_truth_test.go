package placement

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa/oracle"
	"domus.dev/domus/pkg/plugins/vmpreemption"
)

// misexplained says what is wrong with an explanation, or nothing.
func (w *world) misexplained(vm *v1alpha1.VirtualMachine) string {
	answer, err := w.review(vm, v1alpha1.PlacementExplain)
	if err != nil {
		return err.Error()
	}
	on := ""
	if vm.Status.Placement != nil {
		on = vm.Status.Placement.NodeName
	}
	rejected := map[string]bool{}
	for _, r := range answer.Rejections {
		for _, host := range r.NodeNames {
			rejected[host] = true
		}
		if int(r.Hosts) != len(r.NodeNames) || r.Plugin == "" || r.Reason == "" || !slices.IsSorted(r.NodeNames) {
			return fmt.Sprintf("a rejection does not add up: %+v", r)
		}
	}
	fits := map[string]bool{}
	for _, c := range answer.Candidates {
		fits[c.NodeName] = true
		sum := int64(0)
		for _, s := range c.Plugins {
			sum += s.Score
		}
		if sum != c.Score {
			return fmt.Sprintf("scores of %s do not add up: %+v", c.NodeName, c)
		}
	}
	if answer.NodeName != on || int(answer.Hosts) != len(w.hosts) || int(answer.Feasible) != len(fits) || len(fits)+len(rejected) != len(w.hosts) {
		return fmt.Sprintf("hosts do not add up: %+v", answer)
	}
	for host := range w.hosts {
		want, known := w.truth(vm, host)
		switch {
		case fits[host] == rejected[host]:
			return fmt.Sprintf("%s is said both or neither to fit: %+v", host, answer)
		case !known:
		case fits[host] != want:
			return fmt.Sprintf("%s fits on %s: %t, and it is said: %s\n  asks for %+v\n  rejections %+v\n  host %+v\n  held %+v",
				vm.Name, host, want, answer.Message, requestOf(vm), answer.Rejections, *w.hosts[host], w.without(vm, host))
		case want:
			w.asked.fits++
		default:
			w.asked.rejected++
		}
	}
	if strings.Contains(answer.Message, vmpreemption.TooLarge) {
		for host, status := range w.hosts {
			if fits, known := oracle.Fits(status, nil, requestOf(vm)); fits && known && !elsewhere(vm, host) {
				return fmt.Sprintf("%s could hold %s when empty, and it is said: %s\n  asks for %+v\n  host %+v", host, vm.Name, answer.Message, requestOf(vm), *status)
			}
		}
		w.asked.tooLarge++
	}
	for _, c := range answer.Changes {
		if wrong := w.mischanged(vm, c); wrong != "" {
			return fmt.Sprintf("%q: %s\n  asks for %+v\n  hosts %+v", c, wrong, requestOf(vm), answer)
		}
	}
	return ""
}

var (
	lessMemory = regexp.MustCompile(`^with at most (\S+) of memory it would fit on `)
	lessCPU    = regexp.MustCompile(`^with at most (\d+) vCPUs? it would fit on `)
	unselected = regexp.MustCompile(`^without nodeSelector \S+ it would fit on (.*)$`)
	evicting   = regexp.MustCompile(`^evicting VMs of lower priority would make room on (.*)$`)
)

// mischanged says what is wrong with a sentence about what would have to change.
func (w *world) mischanged(vm *v1alpha1.VirtualMachine, sentence string) string {
	unit := oracle.UnitOf(requestOf(vm).Granted.PageSize)
	if m := lessMemory.FindStringSubmatch(sentence); m != nil {
		q := resource.MustParse(m[1])
		return w.misjudged(vm, func(vm *v1alpha1.VirtualMachine, more int64) {
			vm.Spec.Resources.Memory = *resource.NewQuantity(q.Value()+more*unit, resource.BinarySI)
		})
	}
	if m := lessCPU.FindStringSubmatch(sentence); m != nil {
		q := resource.MustParse(m[1])
		return w.misjudged(vm, func(vm *v1alpha1.VirtualMachine, more int64) { vm.Spec.Resources.CPU = int32(q.Value() + more) })
	}
	if m := unselected.FindStringSubmatch(sentence); m != nil {
		anywhere := vm.DeepCopy()
		anywhere.Spec.NodeSelector = nil
		return w.mislisted(m[1], func(host string) (bool, bool) { return w.truth(anywhere, host) }, &w.asked.unselected)
	}
	if m := evicting.FindStringSubmatch(sentence); m != nil {
		return w.mislisted(m[1], func(host string) (bool, bool) {
			if elsewhere(vm, host) || vm.Spec.PriorityClassName != urgent {
				return false, true
			}
			if w.promisedOn(vm, host) {
				return false, false
			}
			return oracle.Fits(w.hosts[host], w.urgentOn(vm, host), requestOf(vm))
		}, &w.asked.evictions)
	}
	return ""
}

// mislisted says whether other hosts than are said would do; it is counted where
// that is known of all.
func (w *world) mislisted(said string, would func(host string) (would, known bool), counted *int) string {
	var hosts []string
	for host := range w.hosts {
		is, known := would(host)
		if !known {
			return ""
		}
		if is {
			hosts = append(hosts, host)
		}
	}
	want := fmt.Sprintf("%d hosts", len(hosts))
	if len(hosts) == 1 {
		want = hosts[0]
	}
	if said != want {
		return fmt.Sprintf("it would on %v", hosts)
	}
	*counted++
	return ""
}

// misjudged says whether the VM does not fit in a size, or does fit in the next
// larger one.
func (w *world) misjudged(vm *v1alpha1.VirtualMachine, resize func(vm *v1alpha1.VirtualMachine, more int64)) string {
	var fits, known [2]bool
	known = [2]bool{true, true}
	for more := range int64(2) {
		other := vm.DeepCopy()
		resize(other, more)
		for host := range w.hosts {
			f, k := w.truth(other, host)
			fits[more], known[more] = fits[more] || f && k, known[more] && k
		}
	}
	switch {
	case known[0] && !fits[0]:
		return "it would not"
	case fits[1]:
		return "it would fit with more"
	}
	w.asked.memory++
	return ""
}

// urgentOn are the placements of urgent VMs on a host but a VM's own.
func (w *world) urgentOn(vm *v1alpha1.VirtualMachine, host string) []v1alpha1.Placement {
	kept := map[types.UID]bool{}
	for _, other := range w.store.list() {
		kept[other.UID] = other.Spec.PriorityClassName == urgent
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []v1alpha1.Placement
	for uid, p := range w.held[host] {
		if uid != vm.UID && kept[uid] {
			out = append(out, p)
		}
	}
	return out
}

// miscounted says what is wrong with what is said to fit, or nothing.
func (w *world) miscounted(vm *v1alpha1.VirtualMachine) string {
	answer, err := w.review(vm, v1alpha1.PlacementFit)
	if err != nil {
		return err.Error()
	}
	if vm.Status.Placement != nil {
		// It stays where it is beside the others.
		vm = vm.DeepCopy()
		vm.UID = "another"
	}
	sum, largest, all := int64(0), int32(0), true
	listed := map[string]bool{}
	for i, h := range answer.Fit.Hosts {
		sum += h.Count
		listed[h.NodeName] = true
		if h.Count < 1 || i > 0 && h.Count > answer.Fit.Hosts[i-1].Count {
			return fmt.Sprintf("hosts that take none, or in disorder: %+v", answer.Fit)
		}
		want, known := w.largest(vm, h.NodeName)
		// A VM of odd bytes can fit where none of whole MiB does.
		if known && ((h.Largest == nil) != (want == 0) || h.Largest != nil && (h.Largest.CPU != want || h.Largest.Memory != memoryOf(vm, want))) {
			return fmt.Sprintf("the largest on %s has %d vCPUs, and it is said: %+v\n  asks for %+v\n  host %+v\n  held %+v",
				h.NodeName, want, h.Largest, requestOf(vm), *w.hosts[h.NodeName], w.without(vm, h.NodeName))
		}
	}
	for host := range w.hosts {
		if fits, known := w.truth(vm, host); known && fits != listed[host] {
			return fmt.Sprintf("%s fits on %s: %t, and it is said: %+v", vm.Name, host, fits, answer)
		}
		size, known := w.largest(vm, host)
		largest, all = max(largest, size), all && known
	}
	if sum != answer.Fit.Count || answer.Fit.AtLeast || int(answer.Feasible) != len(listed) {
		return fmt.Sprintf("hosts take %d: %+v", sum, answer.Fit)
	}
	if !all {
		return ""
	}
	w.asked.largest++
	if said := answer.Fit.Largest; (said == nil) != (largest == 0) || said != nil && (said.CPU != largest || said.Memory != memoryOf(vm, largest)) {
		return fmt.Sprintf("the largest anywhere has %d vCPUs, and it is said: %+v", largest, said)
	}
	return ""
}

// largest is the largest number of vCPUs with which the VM, with memory in
// proportion, fits on the host; it is known where each size is.
func (w *world) largest(vm *v1alpha1.VirtualMachine, host string) (most int32, known bool) {
	for cpu := vcpusOf(w.hosts[host]); cpu > 0; cpu-- {
		other := vm.DeepCopy()
		other.Spec.Resources.CPU = cpu
		other.Spec.Resources.Memory = *resource.NewQuantity(memoryOf(vm, cpu), resource.BinarySI)
		if memoryOf(vm, cpu) == 0 {
			continue
		}
		fits, known := w.truth(other, host)
		if !known || fits {
			return cpu, known
		}
	}
	return 0, true
}

// memoryOf is the memory in proportion to so many vCPUs, in whole units.
func memoryOf(vm *v1alpha1.VirtualMachine, cpu int32) int64 {
	r := requestOf(vm)
	unit := oracle.UnitOf(r.Granted.PageSize)
	return r.Granted.Memory * int64(cpu) / int64(r.Granted.CPU) / unit * unit
}

// vcpusOf is more than which no VM on the host can have: each is shared or has a
// CPU of its own.
func vcpusOf(status *v1alpha1.HypervisorStatus) int32 {
	cpus := 0
	for _, c := range status.Cells {
		if c.CPUs != "" {
			cpus += strings.Count(c.CPUs, ",") + 1
		}
	}
	return int32(max(int64(cpus), status.Allocatable.CPU))
}
