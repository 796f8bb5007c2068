package placement

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa/oracle"
)

// asked are how often answers to PlacementReviews were held against the oracle:
// hosts said to fit and to be rejected, largest sizes, what would have to change,
// VMs that no host could hold, and copies that were counted and then placed.
type asked struct {
	fits, rejected, largest, memory, unselected, evictions, counted, tooLarge int
}

func (a *asked) add(o *asked) {
	a.fits += o.fits
	a.rejected += o.rejected
	a.largest += o.largest
	a.memory += o.memory
	a.unselected += o.unselected
	a.evictions += o.evictions
	a.counted += o.counted
	a.tooLarge += o.tooLarge
}

func (a *asked) String() string {
	return fmt.Sprintf("of reviews, %d hosts that fit were found to, %d that did not, %d largest sizes, %d smaller sizes, %d selectors and %d evictions that would help, %d VMs that no host could hold, and %d VMs that were said to fit were placed",
		a.fits, a.rejected, a.largest, a.memory, a.unselected, a.evictions, a.tooLarge, a.counted)
}

func (a *asked) require(t *testing.T, fleets int) {
	t.Helper()
	for what, n := range map[string]int{
		"host that fits": a.fits, "rejected host": a.rejected, "largest size": a.largest, "VM that was counted": a.counted,
		"smaller size": a.memory, "selector": a.unselected, "eviction": a.evictions, "VM that is too large": a.tooLarge,
	} {
		// The rarest comes about once in some fleets.
		if n == 0 && fleets >= 100 {
			t.Errorf("no %s was held against the oracle in %d fleets: the test has shown nothing of it", what, fleets)
		}
	}
}

// ask holds what is said of a VM against the oracle, be it placed, waiting or
// made up.
func (w *world) ask(t *rapid.T) {
	w.settle()
	w.until(t, w.subject(t), w.misexplained)
	w.until(t, w.subject(t), w.miscounted)
}

// subject draws a VM to ask about.
func (w *world) subject(t *rapid.T) *v1alpha1.VirtualMachine {
	class := rapid.SampledFrom([]string{"", urgent}).Draw(t, "class of the VM asked about")
	if all := w.store.list(); len(all) > 0 && rapid.Bool().Draw(t, "it exists") {
		return all[rapid.IntRange(0, len(all)-1).Draw(t, "which VM")]
	}
	vm := w.drawVM(t, class)
	if rapid.IntRange(0, 3).Draw(t, "it wants one host") == 0 {
		vm.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "host-0"}
	}
	return vm
}

// until tells whether an answer is right once nothing moves. On a busy machine
// what seemed to rest may have moved on: the VM is looked up for each try.
func (w *world) until(t *rapid.T, vm *v1alpha1.VirtualMachine, wrong func(*v1alpha1.VirtualMachine) string) {
	for began := time.Now(); ; {
		what := wrong(vm)
		switch {
		case what == "":
			return
		case time.Since(began) > prompt:
			t.Fatal(what)
		}
		w.settle()
		if now := w.store.find(vm.UID); now != nil {
			vm = now
		}
	}
}

// askAndPlace asks while VMs are being placed: that must not disturb them, which
// is what all else that is checked would show.
func (w *world) askAndPlace(t *rapid.T) {
	vm := w.subject(t)
	var asking sync.WaitGroup
	for _, question := range []v1alpha1.PlacementQuestion{v1alpha1.PlacementExplain, v1alpha1.PlacementFit} {
		asking.Go(func() {
			for range 5 {
				// What it says of a moment like this is not checked.
				_, _ = w.review(vm, question)
			}
		})
	}
	w.createSeveral(t)
	w.settle()
	asking.Wait()
}

// fill asks how many of a small VM fit, on one host or apart from each other on
// all, and then places one more than that.
func (w *world) fill(t *rapid.T) {
	w.settle()
	vm := w.drawVM(t, "")
	r := &vm.Spec.Resources
	r.CPU = rapid.Int32Range(1, 2).Draw(t, "small cpu")
	r.Memory = *resource.NewQuantity(oracle.UnitOf(requestOf(vm).Granted.PageSize)*rapid.Int64Range(1, 2).Draw(t, "small memory"), resource.BinarySI)
	if rapid.IntRange(0, 3).Draw(t, "apart") == 0 {
		keepApart(vm)
	} else {
		host := fmt.Sprintf("host-%d", rapid.IntRange(0, len(w.hosts)-1).Draw(t, "host to fill"))
		vm.Spec.NodeSelector = map[string]string{corev1.LabelHostname: host}
	}
	before, err := w.review(vm, v1alpha1.PlacementFit)
	if err != nil {
		return
	}
	w.settle()
	answer, err := w.review(vm, v1alpha1.PlacementFit)
	if err == nil && answer.Fit.Count != before.Fit.Count {
		return // something was still on its way
	}
	// Right after a restart not all hosts may have been read.
	if err != nil || answer.Fit.Count > 12 || int(answer.Hosts) != len(w.hosts) {
		return
	}
	for host := range w.hosts {
		if w.promisedOn(vm, host) {
			return
		}
	}
	n := int(answer.Fit.Count)
	others := w.placedBeside(nil)
	var names []string
	for range n + 1 {
		w.created++
		c := vm.DeepCopy()
		c.Name = fmt.Sprintf("vm-%d", w.created)
		c.UID, c.Generation = types.UID("uid-"+c.Name), int64(w.created)
		names = append(names, c.Name)
		w.store.create(c)
	}
	w.until(t, vm, func(vm *v1alpha1.VirtualMachine) string {
		w.settle()
		placed := 0
		for _, name := range names {
			if w.store.get(name).Status.Placement != nil {
				placed++
			}
		}
		if placed == n || !reflect.DeepEqual(others, w.placedBeside(names)) {
			return "" // or another VM, back from its back-off, has taken or left room meanwhile
		}
		why := ""
		for _, name := range names {
			if c := meta.FindStatusCondition(w.store.get(name).Status.Conditions, v1alpha1.ConditionScheduled); c != nil && c.Status != metav1.ConditionTrue {
				why += "\n  " + name + ": " + c.Message
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Sprintf("%d more were said to fit and %d were placed: %+v%s\n  spec %+v\n  hosts %+v\n  held %+v", n, placed, answer, why, vm.Spec, w.hosts, w.held)
	})
	w.asked.counted += n
	for _, name := range names {
		w.gone(w.store.get(name))
		w.store.remove(name)
	}
}

// placedBeside are the placements of all VMs but those named.
func (w *world) placedBeside(names []string) map[types.UID]*v1alpha1.Placement {
	out := map[types.UID]*v1alpha1.Placement{}
	for _, vm := range w.store.list() {
		if vm.Status.Placement != nil && !slices.Contains(names, vm.Name) {
			out[vm.UID] = vm.Status.Placement
		}
	}
	return out
}

// keepApart has VMs of this kind on hosts of their own.
func keepApart(vm *v1alpha1.VirtualMachine) {
	vm.Labels = map[string]string{"apart": "yes"}
	vm.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: vm.Labels},
		}},
	}}
}

func (s *store) get(name string) *v1alpha1.VirtualMachine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vms[name].DeepCopy()
}

// find returns the VM of a UID as it is now; nil when there is none.
func (s *store) find(uid types.UID) *v1alpha1.VirtualMachine {
	for _, vm := range s.list() {
		if vm.UID == uid {
			return vm
		}
	}
	return nil
}

func (w *world) review(vm *v1alpha1.VirtualMachine, question v1alpha1.PlacementQuestion) (*v1alpha1.PlacementReviewStatus, error) {
	return w.sched.explainer.Review(context.Background(), vm, &v1alpha1.PlacementReviewSpec{Question: question, Limit: ptr.To[int32](5000)})
}

// promisedOn says whether room on the host is being made for a VM that goes
// before this one.
func (w *world) promisedOn(vm *v1alpha1.VirtualMachine, host string) bool {
	var waiting []*v1alpha1.VirtualMachine
	for _, other := range w.store.list() {
		if other.Status.Placement == nil {
			waiting = append(waiting, other)
		}
	}
	return promised(waiting, vm, host)
}

// without are the placements on a host but a VM's own.
func (w *world) without(vm *v1alpha1.VirtualMachine, host string) []v1alpha1.Placement {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []v1alpha1.Placement
	for uid, p := range w.held[host] {
		if uid != vm.UID {
			out = append(out, p)
		}
	}
	return out
}

// truth is what the oracle says of a VM on a host; it is not known where room is
// promised to others.
func (w *world) truth(vm *v1alpha1.VirtualMachine, host string) (fits, known bool) {
	switch {
	case elsewhere(vm, host):
		return false, true
	case w.promisedOn(vm, host):
		return false, false
	}
	return oracle.Fits(w.hosts[host], w.without(vm, host), requestOf(vm))
}

// elsewhere says whether the VM wants another host than this one.
func elsewhere(vm *v1alpha1.VirtualMachine, host string) bool {
	name, wants := vm.Spec.NodeSelector[corev1.LabelHostname]
	return wants && name != host
}
