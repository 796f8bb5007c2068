package podless

import (
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

// Annotations by which a projected Pod says what its requests cannot: they are
// never stored in the API server, and most VMs that are bound have none of
// them.
const (
	// requestAnnotation holds the numa.Request of a VM that waits for a host and
	// wants something of cells, CPUs or devices.
	requestAnnotation = "domus.dev/request"
	// overheadAnnotation holds the part of a waiting VM's memory request that is
	// QEMU's own, in bytes, for words alone; where all is in requestAnnotation, or
	// guest memory is in another pool, it is not needed.
	overheadAnnotation = "domus.dev/overhead"
	// placementAnnotation holds the placement of a bound VM that has cells or
	// devices.
	placementAnnotation = "domus.dev/placement"
	// disksAnnotation names the VirtualDisks of a VM, as a list in JSON.
	disksAnnotation = "domus.dev/disks"
)

// annotations are all that a projected Pod has: one of those three at most, its
// disks, its cards, and the guest's.
func annotations(vm *v1alpha1.VirtualMachine) map[string]string {
	out := guestAnnotations(vm)
	add := func(key string, value any) {
		if out == nil {
			out = map[string]string{}
		}
		// Plain structs of strings and numbers can always be written as JSON.
		data, _ := json.Marshal(value)
		out[key] = string(data)
	}
	if names := vm.DiskNames(); len(names) > 0 {
		add(disksAnnotation, names)
	}
	if len(vm.Spec.Interfaces) > 0 {
		add(interfacesAnnotation, interfacesOf(vm))
	}
	p := vm.Status.Placement
	switch {
	case p == nil:
		r := numa.RequestOf(&vm.Spec, Desired(vm))
		switch {
		case !r.Floats():
			add(requestAnnotation, r)
		case r.Granted.PageSize == "" && r.Granted.Overhead > 0:
			add(overheadAnnotation, r.Granted.Overhead)
		}
	case len(p.Cells) > 0 || len(p.Devices) > 0:
		add(placementAnnotation, p)
	}
	return out
}

// NUMARequestOf reads back what a projected Pod asks of a host, cells, CPUs and
// devices included.
func NUMARequestOf(pod *corev1.Pod) (numa.Request, error) {
	text, special := pod.Annotations[requestAnnotation]
	if !special {
		// What cannot be read as a number is 0: annotations have written it.
		overhead, _ := strconv.ParseInt(pod.Annotations[overheadAnnotation], 10, 64)
		r := floating(RequestOf(pod), overhead)
		r.Grows = IsGrowth(pod.Name)
		return r, nil
	}
	var r numa.Request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return numa.Request{}, fmt.Errorf("reading what VirtualMachine %s/%s asks for: %w", pod.Namespace, VMName(pod.Name), err)
	}
	return r, nil
}

// SpecialTextOf is what a projected Pod asks of cells, CPUs and devices, as text
// to be compared; empty for one that asks for amounts alone.
func SpecialTextOf(pod *corev1.Pod) string { return pod.Annotations[requestAnnotation] }

// floating is a request for amounts that are bound to no cell. How its memory
// divides into the guest's and QEMU's own matters for words alone; it is not
// known of VMs that are bound.
func floating(r capacity.Resources, overhead int64) numa.Request {
	g := v1alpha1.GrantedResources{CPU: int32(r.CPU), Memory: r.Memory - overhead, Overhead: overhead}
	switch {
	case r.Hugepages2Mi > 0:
		g.Memory, g.Overhead, g.PageSize = r.Hugepages2Mi, r.Memory, v1alpha1.PageSize2Mi
	case r.Hugepages1Gi > 0:
		g.Memory, g.Overhead, g.PageSize = r.Hugepages1Gi, r.Memory, v1alpha1.PageSize1Gi
	}
	return numa.Request{Granted: g}
}

// PlacementTextOf is the placement of a bound VM as its projected Pod carries
// it; empty for a VM that has neither cells nor devices. ParsePlacement reads it.
func PlacementTextOf(pod *corev1.Pod) string { return pod.Annotations[placementAnnotation] }

// ParsePlacement reads what PlacementTextOf returned.
func ParsePlacement(text string) (*v1alpha1.Placement, error) {
	p := &v1alpha1.Placement{}
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return nil, fmt.Errorf("reading a placement: %w", err)
	}
	return p, nil
}

// DisksOf names the VirtualDisks of a projected Pod's VM; none of a VM that has
// none, at no cost.
func DisksOf(pod *corev1.Pod) ([]string, error) {
	text, any := pod.Annotations[disksAnnotation]
	if !any {
		return nil, nil
	}
	var names []string
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		return nil, fmt.Errorf("reading the disks of VirtualMachine %s/%s: %w", pod.Namespace, VMName(pod.Name), err)
	}
	return names, nil
}

// DisksTextOf is what tells whether two VMs have the same disks.
func DisksTextOf(pod *corev1.Pod) string { return pod.Annotations[disksAnnotation] }
