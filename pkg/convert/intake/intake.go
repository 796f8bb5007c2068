package intake

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/tree"
	"domus.dev/domus/pkg/policy"
)

// Options say where a VM goes and what there is for it.
type Options struct {
	// Namespace is where it shall be; by default its own.
	Namespace string
	// Name is the name it shall have. By default it is that by which people knew
	// it, where the domain's metadata tell, and otherwise its own.
	Name string
	// Level is the policy level of that namespace.
	Level v1alpha1.PolicyLevel
	// Pools are the storage pools of the hosts.
	Pools []Pool
	// Networks are libvirt's networks on the hosts by the bridge, or for macvtap
	// the device, that they lead to.
	Networks map[string]string
	// Devices are the names under which hosts offer PCI devices, by address:
	// 0000:3b:00.0.
	Devices map[string]string
	// RemoveRefused takes out of the VM what the policy refuses, but for disks
	// and network interfaces.
	RemoveRefused bool
}

// Pool is a storage pool of the hosts.
type Pool struct {
	// Name is libvirt's.
	Name string
	// Path is where its volumes are on the host: /var/lib/libvirt/images, or
	// /dev/vg0 for a volume group. Empty for Ceph.
	Path string
	// Ceph is the name of the pool in Ceph, for pools of type rbd.
	Ceph string
}

// Change is something of the VM that is otherwise than in its domain.
type Change struct {
	// Path is of the VM that was given: spec.domain.devices.disks[0].source.
	Path string `json:"path"`
	// What was done, and Why, each half a sentence.
	What string `json:"what"`
	Why  string `json:"why"`
}

// String is a line for a person.
func (c Change) String() string { return c.Path + ": " + c.What + ": " + c.Why }

// Machine makes of a VM that was read from a domain one that can be created. The
// VM given stays as it is. Refusals are what of it cannot be, above all what the
// policy at the level of the namespace refuses, with paths in what came out.
// Without any, what is left to say no is what only the cluster knows, such as a
// VM of that name.
func Machine(given *v1alpha1.VirtualMachine, opts Options) (*v1alpha1.VirtualMachine, []Change, field.ErrorList) {
	vm := given.DeepCopy()
	if opts.Namespace != "" {
		vm.Namespace = opts.Namespace
	}
	s := &state{vm: vm, opts: opts}
	if err := s.naming(); err != nil {
		return vm, nil, field.ErrorList{err}
	}
	if errs := s.read(); len(errs) > 0 {
		return vm, nil, errs
	}
	for _, step := range steps {
		step(s)
	}
	if err := s.write(); err != nil {
		return vm, s.changes, field.ErrorList{err}
	}
	refusals := policy.CheckVirtualMachine(vm, opts.Level)
	if opts.RemoveRefused {
		refusals = s.removeRefused(refusals)
	}
	return vm, s.changes, append(s.unusable(), folded(refusals)...)
}

// steps are in the order in which they are told. Each takes the domain as the
// ones before it have left it, and no two remove items of one list.
var steps = []func(*state){
	(*state).life,
	(*state).vcpus,
	(*state).memory,
	(*state).cells,
	(*state).hugepages,
	(*state).firmware,
	(*state).disks,
	(*state).interfaces,
	(*state).hostdevs,
	(*state).growth,
	(*state).topology,
	(*state).inputs,
	(*state).channels,
	(*state).serials,
	(*state).graphics,
}

// state is a VM on its way.
type state struct {
	vm      *v1alpha1.VirtualMachine
	domain  *libvirtxml.Domain
	opts    Options
	changes []Change
	// others are the corrections in the domain, by the paths of their objects.
	others tree.Others
	// gone are the items of lists of devices that are taken out in the end, so
	// that places in lists stay what they were until then.
	gone map[string][]int
}

// at is a path in the domain.
func at(child string, more ...string) *field.Path {
	return convert.DomainPath.Child(child, more...)
}

func (s *state) changed(path *field.Path, what, why string) {
	s.changes = append(s.changes, Change{Path: path.String(), What: what, Why: why})
}

// drop takes an item out of a list of devices.
func (s *state) drop(list string, index int) {
	if s.gone == nil {
		s.gone = map[string][]int{}
	}
	s.gone[list] = append(s.gone[list], index)
}

// restricted says whether only what stays in the guest is allowed.
func (s *state) restricted() bool { return s.opts.Level != v1alpha1.PolicyPrivileged }

// read reads the domain less what was of one run only.
func (s *state) read() field.ErrorList {
	raw := []byte("{}")
	if s.vm.Spec.Domain != nil && len(s.vm.Spec.Domain.Raw) > 0 {
		var err error
		if raw, err = s.dropRun(s.vm.Spec.Domain.Raw); err != nil {
			return field.ErrorList{field.Invalid(convert.DomainPath, field.OmitValueType{}, err.Error())}
		}
	}
	domain, others, errs := tree.DecodeAll[libvirtxml.Domain](raw, convert.DomainPath)
	if len(errs) > 0 {
		return errs
	}
	if domain.Devices == nil {
		domain.Devices = &libvirtxml.DomainDeviceList{}
	}
	s.domain, s.others = domain, others
	return nil
}

// write puts the domain back into the VM.
func (s *state) write() *field.Error {
	kept := tree.Others{}
	for _, o := range tree.Objects(s.domain) {
		if other := s.others[o.Path]; len(other) > 0 {
			kept[o.Path] = other
		}
	}
	raw, err := tree.EncodeAll(s.domain, kept)
	if err == nil {
		raw, err = s.tidy(raw)
	}
	if err != nil {
		return field.Invalid(convert.DomainPath, field.OmitValueType{}, fmt.Sprintf("cannot be written: %v", err))
	}
	s.vm.Spec.Domain = nil
	if string(raw) != "{}" {
		s.vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
	}
	return nil
}
