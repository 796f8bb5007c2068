package hostcompatibility

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// demands are what a VM demands of any host that is to run it.
type demands struct {
	// kind and arch are the kind of guest; empty is any.
	kind, arch string
	// list is in the order in which hosts are judged, the kind first where it is
	// demanded; empty when any host will do.
	list []demand
}

// demand is one thing that a host must have. Its words are made once, so that
// they are equal over all hosts, which are then counted together.
type demand struct {
	// what it is, in words, and name as its host lists it.
	what, name string
	// reason is said of hosts that do not meet the demand, none when no host
	// does.
	reason, none string
	// ofHost says that hosts which list the same kinds of guest may differ in it.
	ofHost bool
	// ofGuest says that it comes with the kind of guest, not with the host.
	ofGuest bool
	// met judges a host by what it says, and by the kind of guest that it would
	// run: nil when it lists none that the VM could be.
	met func(*v1alpha1.HypervisorStatus, *v1alpha1.DomainType) bool
	// offers is what there is of the kind on a host; nil when it has no names.
	offers func(*v1alpha1.HypervisorStatus, *v1alpha1.DomainType) []string
}

// demandsOf reads what a projected VM demands. All but devices is in its Guest.
//
// A host that lists nothing of a kind (an executor that does not report it, or
// one that keeps its Hypervisor small) is not turned away for that: the executor
// and libvirt have the last word.
func demandsOf(pod *corev1.Pod) (demands, error) {
	guest := podless.GuestOf(pod.Annotations).Kind()
	devices, err := devicesOf(pod)
	if err != nil {
		return demands{}, err
	}
	out := demands{kind: guest.Type, arch: guest.Arch}
	if out.wantsKind() {
		out.list = append(out.list, ofKind(guest.Type, guest.Arch))
	}
	if guest.Machine != "" {
		out.list = append(out.list, ofMachine(guest.Machine))
	}
	if guest.CPUModel != "" {
		out.list = append(out.list, listed("CPU model "+clip(guest.CPUModel), guest.CPUModel,
			func(t *v1alpha1.DomainType) []string { return t.CPUModels }))
	}
	for _, name := range strings.FieldsFunc(guest.CPUFeatures, func(r rune) bool { return r == ',' }) {
		out.list = append(out.list, listed("CPU feature "+clip(name), name,
			func(t *v1alpha1.DomainType) []string { return t.CPUFeatures }))
	}
	if guest.Firmware != "" {
		out.list = append(out.list, listed(clip(guest.Firmware)+" firmware", guest.Firmware,
			func(t *v1alpha1.DomainType) []string { return t.Firmware }))
	}
	if guest.SecureBoot {
		out.list = append(out.list, ofSecureBoot())
	}
	for _, name := range devices {
		out.list = append(out.list, ofDevice(name))
	}
	return out, nil
}

// devicesOf are the names of the host devices that the VM wants.
func devicesOf(pod *corev1.Pod) ([]string, error) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range request.Devices {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return names, nil
}

// wantsKind says whether the kind of guest is demanded.
func (d *demands) wantsKind() bool { return d.kind != "" || d.arch != "" }

// ofSorts says whether all demands are about kinds of guest, which hosts of a
// sort have alike.
func (d *demands) ofSorts() bool {
	return !slices.ContainsFunc(d.list, func(one demand) bool { return one.ofHost })
}

// unmet is the first demand that the host does not meet; nil when it meets all.
func (d *demands) unmet(hv *v1alpha1.HypervisorStatus) *demand {
	kind := d.kindOn(hv)
	for i := range d.list {
		if !d.list[i].met(hv, kind) {
			return &d.list[i]
		}
	}
	return nil
}

// kindOn is the kind of guest that the VM would be on the host: of those that it
// could be, the one that the host prefers. nil when there is none.
func (d *demands) kindOn(hv *v1alpha1.HypervisorStatus) *v1alpha1.DomainType {
	for i := range hv.DomainTypes {
		t := &hv.DomainTypes[i]
		if (d.kind == "" || d.kind == t.Type) && (d.arch == "" || d.arch == t.Arch) {
			return t
		}
	}
	return nil
}

// clip keeps names short in messages: a user may have written anything.
func clip(name string) string {
	const longest = 64
	if runes := []rune(name); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return name
}
