package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/hostcompatibility"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/rejections"
)

// alternatives are the changes that are worth trying, by which plugins rejected
// hosts.
func (q *inquiry) alternatives(o *outcome, by byPlugin) []change {
	var out []change
	if by.has(hostresources.Name, hostnuma.Name, hostcompatibility.Name) {
		out = append(out, kinds(&q.vm.Spec.Resources)...)
	}
	if by.has(names.NodeAffinity) {
		out = append(out, nodeRules(q.vm)...)
	}
	if by.has(names.InterPodAffinity, names.PodTopologySpread) {
		out = append(out, vmRules(&q.vm.Spec)...)
	}
	if by.has(names.NodeUnschedulable) {
		t := corev1.Toleration{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}
		out = append(out, tolerating(uncordoned, t))
	}
	var untolerated [][]corev1.Taint
	for _, i := range by.indexes(names.TaintToleration) {
		untolerated = append(untolerated, rejections.Untolerated(o.pod, q.situation.nodes[i].Node()))
	}
	return append(out, tolerations(untolerated)...)
}

// kinds are other kinds of what the VM asks for, in the same amounts.
func kinds(r *v1alpha1.VirtualMachineResources) []change {
	var out []change
	add := func(words string, to func(r *v1alpha1.VirtualMachineResources)) {
		out = append(out, change{words: words, to: func(vm *v1alpha1.VirtualMachine) { to(&vm.Spec.Resources) }})
	}
	pages := v1alpha1.PageSize("")
	if r.Hugepages != nil {
		pages = r.Hugepages.PageSize
		add("without hugepages", func(r *v1alpha1.VirtualMachineResources) { r.Hugepages = nil })
	}
	for _, other := range []v1alpha1.PageSize{v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi} {
		if other == pages || r.Memory.Value()%grain(other) != 0 {
			continue
		}
		add(fmt.Sprintf("with %s hugepages", other), func(r *v1alpha1.VirtualMachineResources) {
			r.Hugepages = &v1alpha1.Hugepages{PageSize: other}
		})
	}
	if r.NUMA != "" && r.NUMA != v1alpha1.NUMANone {
		for _, other := range []v1alpha1.NUMAPolicy{v1alpha1.NUMARestricted, v1alpha1.NUMANone} {
			if other != r.NUMA {
				add(fmt.Sprintf("with numa %s instead of %s", other, r.NUMA), func(r *v1alpha1.VirtualMachineResources) { r.NUMA = other })
			}
		}
	}
	if r.CPUPolicy == v1alpha1.CPUDedicated {
		if r.Threads == v1alpha1.ThreadsApart {
			add("with threads together instead of apart", func(r *v1alpha1.VirtualMachineResources) { r.Threads = v1alpha1.ThreadsTogether })
		}
		add("with cpuPolicy shared instead of dedicated", func(r *v1alpha1.VirtualMachineResources) { r.CPUPolicy, r.Threads = v1alpha1.CPUShared, "" })
	}
	if len(r.Devices) > 0 {
		add("without devices", func(r *v1alpha1.VirtualMachineResources) { r.Devices = nil })
	}
	return out
}

// nodeRules are those by which the VM chooses among hosts.
func nodeRules(vm *v1alpha1.VirtualMachine) []change {
	var out []change
	for _, key := range slices.Sorted(maps.Keys(vm.Spec.NodeSelector)) {
		out = append(out, change{
			words: fmt.Sprintf("without nodeSelector %s=%s", key, vm.Spec.NodeSelector[key]),
			to:    func(vm *v1alpha1.VirtualMachine) { delete(vm.Spec.NodeSelector, key) },
		})
	}
	if a := vm.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		out = append(out, change{words: "without its required node affinity", to: func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
		}})
	}
	if excluded := vm.Status.ExcludedHosts; len(excluded) > 0 {
		var hosts []string
		for _, e := range excluded {
			hosts = append(hosts, e.NodeName)
		}
		out = append(out, change{
			words: "once it is no longer kept from " + strings.Join(hosts, ", ") + ", which refused it,",
			to:    func(vm *v1alpha1.VirtualMachine) { vm.Status.ExcludedHosts = nil },
		})
	}
	return out
}

// vmRules are those by which the VM wants to be near others or apart.
func vmRules(spec *v1alpha1.VirtualMachineSpec) []change {
	var out []change
	if a := spec.Affinity; a != nil {
		if a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
			out = append(out, change{words: "without its required affinity to other VMs", to: func(vm *v1alpha1.VirtualMachine) {
				vm.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
			}})
		}
		if a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
			out = append(out, change{words: "without its required anti-affinity to other VMs", to: func(vm *v1alpha1.VirtualMachine) {
				vm.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
			}})
		}
	}
	for i, c := range spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			out = append(out, change{words: "without its spread over " + c.TopologyKey, to: func(vm *v1alpha1.VirtualMachine) {
				vm.Spec.TopologySpreadConstraints = slices.Delete(vm.Spec.TopologySpreadConstraints, i, i+1)
			}})
		}
	}
	return out
}

// maxTolerations is how many taints are tried at most.
const maxTolerations = 3

// uncordoned is said of what keeps VMs off cordoned hosts.
const uncordoned = "once cordoned hosts are open again (`kubectl uncordon HOST`)"

// tolerations are of the taints that keep the VM off hosts: all of one host's,
// those of most hosts first.
func tolerations(ofHosts [][]corev1.Taint) []change {
	count, of := map[string]int{}, map[string][]corev1.Toleration{}
	for _, taints := range ofHosts {
		if len(taints) == 0 {
			continue
		}
		var missing []corev1.Toleration
		for _, t := range taints {
			missing = append(missing, corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpEqual, Value: t.Value, Effect: t.Effect})
		}
		key := withoutTaints(taints)
		count[key]++
		of[key] = missing
	}
	var out []change
	for _, words := range slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	}) {
		if len(out) < maxTolerations {
			out = append(out, tolerating(words, of[words]...))
		}
	}
	return out
}

// withoutTaints says what would have to be for the taints of a host to keep the
// VM off no more. Only what people meant to keep VMs off is to be tolerated: a
// host that does not answer would not start them.
func withoutTaints(taints []corev1.Taint) string {
	var tolerated, once []string
	for _, t := range taints {
		who := rejections.Unanswering(t.Key)
		switch {
		case who != "":
			once = append(once, "once "+who+" answers again on hosts with taint "+t.Key)
		case t.Key == corev1.TaintNodeUnschedulable:
			once = append(once, uncordoned)
		default:
			tolerated = append(tolerated, t.ToString())
		}
	}
	slices.Sort(once)
	all := slices.Compact(once)
	if len(tolerated) > 0 {
		all = append([]string{"if it tolerated taint " + strings.Join(tolerated, " and ")}, all...)
	}
	return strings.Join(all, " and ")
}

func tolerating(words string, t ...corev1.Toleration) change {
	return change{words: words, to: func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Tolerations = append(vm.Spec.Tolerations, t...)
	}}
}
