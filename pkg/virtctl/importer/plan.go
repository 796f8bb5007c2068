package importer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/intake"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
)

// plan decides what becomes of each domain. It is pure. An error is about one of
// them, and joins those of several.
func (o *options) plan(read []libvirtdoc.ReadFound, namespace string, there *surroundings) ([]arrival, error) {
	around := neighbourhood(read)
	snapshots := snapshotsByDomain(read)
	var out []arrival
	var errs []error
	names, uuids := map[string]string{}, map[string]string{}
	for _, r := range read {
		given, ok := r.Object.(*v1alpha1.VirtualMachine)
		if !ok {
			continue
		}
		a := arrival{ReadFound: r}
		if r.Live() {
			a.snapshots = snapshots[r.Found.Name]
		}
		if managed := ownerOf(given); managed != "" && r.Live() {
			a.managed = managed
			out = append(out, a)
			continue
		}
		opts := around
		opts.Namespace, opts.Name, opts.Level, opts.RemoveRefused = namespace, o.name, there.level, o.remove
		a.vm, a.changes, a.refusals = intake.Machine(given, opts)
		if was := nameIn(r.Document); was != "" && given.Name != was && a.vm.Name == given.Name {
			a.changes = slices.Insert(a.changes, 0, intake.Change{Path: "metadata.name", What: strconv.Quote(was) + " became " + a.vm.Name, Why: "Kubernetes' names have lower-case letters, digits, - and . only; the domain's own is kept for the way back"})
		}
		if given.Namespace != "" && given.Namespace != namespace && !r.Foreign {
			a.changes = append(a.changes, intake.Change{Path: "metadata.namespace", What: given.Namespace + " became " + namespace, Why: "it is the namespace that VMs are brought into: give -n for another"})
		}
		if err := o.settle(&a); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := meetsTwin(&a, names, uuids); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := meet(&a, there); err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, a)
	}
	return out, errors.Join(errs...)
}

// meetsTwin refuses one that has the UUID or the name of another of the same command,
// and notes those of one that has not. names and uuids are those of the others.
func meetsTwin(a *arrival, names, uuids map[string]string) error {
	of := a.String()
	if other, is := uuids[a.vm.Spec.UUID]; is && a.vm.Spec.UUID != "" {
		return failure.Refused("%s: %s has the UUID %s too, and so is the same VM: give one of them, or this one a UUID of its own", of, other, a.vm.Spec.UUID)
	}
	if other, is := names[a.vm.Name]; is && a.vm.Name != "" {
		return failure.Refused("%s: %s has the name %s too: bring it in by itself with --name", of, other, a.vm.Name)
	}
	uuids[a.vm.Spec.UUID], names[a.vm.Name] = of, of
	return nil
}

// settle says whether the VM shall run, and where.
func (o *options) settle(a *arrival) error {
	switch {
	case o.start && a.Found.Active:
		return failure.Refused("%s: it runs, and must not run twice: shut it down first, or leave out --start", a.String())
	case o.start && a.runs():
		return failure.Refused("%s: it ran when this was written, for it has an id, and must not run twice: shut it down and give what `virsh dumpxml` prints then, or leave out --start", a.String())
	case a.runs() && a.vm.Spec.PowerState == v1alpha1.PowerRunning && !a.Live():
		return failure.Refused("%s: it ran when this was written, for it has an id, and must not run twice: shut it down and remove spec.domain.id, or set spec.powerState to %s", a.String(), v1alpha1.PowerStopped)
	case o.start:
		a.vm.Spec.PowerState = v1alpha1.PowerRunning
	case a.vm.Spec.PowerState == "" || a.Live():
		a.vm.Spec.PowerState = v1alpha1.PowerStopped
	}
	if o.node != "" {
		selector := maps.Clone(a.vm.Spec.NodeSelector)
		if selector == nil {
			selector = map[string]string{}
		}
		selector[corev1.LabelHostname] = o.node
		a.vm.Spec.NodeSelector = selector
	}
	return nil
}

// meet finds the VM that it is already.
func meet(a *arrival, s *surroundings) error {
	known := s.known(a.vm.Spec.UUID, a.vm.Name)
	switch {
	case known == nil:
	case a.vm.Spec.UUID != "" && known.DomainUUID() == a.vm.Spec.UUID, a.vm.Spec.UUID == "" && known.Name == a.vm.Name:
		a.there = known
	default:
		return failure.Refused("%s: virtualmachine %q is another one, of UUID %s: give this one another name with --name", a.String(), known.Name, known.DomainUUID())
	}
	return nil
}

// ownerOf is the VM whose domain it is, as Domus marks it; empty for a domain of
// nobody.
func ownerOf(vm *v1alpha1.VirtualMachine) string {
	owner, marked, err := convert.ParseOwnership(vm.Annotations[v1alpha1.MetadataAnnotation])
	switch {
	case err != nil:
		return "a VM that its mark does not name"
	case marked:
		return fmt.Sprintf("virtualmachine %s of namespace %s (cluster %s)", owner.Owner.Name, owner.Owner.Namespace, owner.ClusterID)
	}
	return ""
}
