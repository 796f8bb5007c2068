package objects

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/xmldoc"
)

type snapshotConcern = concern[libvirtxml.DomainSnapshot, *v1alpha1.VirtualMachineSnapshot]

var snapshotPath = field.NewPath("spec", "snapshot")

// snapshots are snapshots of domains.
var snapshots = &mapping[libvirtxml.DomainSnapshot, *v1alpha1.VirtualMachineSnapshot]{
	kind: xmldoc.KindSnapshot,
	empty: func() *v1alpha1.VirtualMachineSnapshot {
		snapshot := &v1alpha1.VirtualMachineSnapshot{}
		snapshot.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachineSnapshot"))
		return snapshot
	},
	at:       snapshotPath,
	part:     func(s *v1alpha1.VirtualMachineSnapshot) **runtime.RawExtension { return &s.Spec.Snapshot },
	concerns: []snapshotConcern{snapshotIdentity, snapshotMemory},
}

// snapshotIdentity is <name> and <description>, and of a snapshot with a domain
// in it whose it is. The domain stays as it was: it is history, and no VM.
var snapshotIdentity = snapshotConcern{
	lift: func(doc *libvirtxml.DomainSnapshot, s *v1alpha1.VirtualMachineSnapshot) {
		liftName(&doc.Name, s)
		s.Spec.Description, doc.Description = doc.Description, ""
		if doc.Domain != nil {
			s.Spec.VirtualMachineName = Name(doc.Domain.Name)
		}
	},
	lower: func(s *v1alpha1.VirtualMachineSnapshot, doc *libvirtxml.DomainSnapshot) field.ErrorList {
		errs := lowerName(s, &doc.Name, snapshotPath)
		return append(errs, lowerText(s.Spec.Description, &doc.Description, snapshotPath.Child("description"), "spec.description")...)
	},
}

// memoryModes are libvirt's names for where a snapshot's memory is.
var memoryModes = map[v1alpha1.SnapshotMemory]string{
	v1alpha1.SnapshotMemoryNone:     "no",
	v1alpha1.SnapshotMemoryInternal: "internal",
	v1alpha1.SnapshotMemoryExternal: "external",
}

// snapshotMemory is <memory>. The file of an external one stays in the rest.
var snapshotMemory = snapshotConcern{
	lift: func(doc *libvirtxml.DomainSnapshot, s *v1alpha1.VirtualMachineSnapshot) {
		if doc.Memory == nil {
			return
		}
		for mode, name := range memoryModes {
			if doc.Memory.Snapshot == name {
				s.Spec.Memory, doc.Memory.Snapshot = mode, ""
			}
		}
		if *doc.Memory == (libvirtxml.DomainSnapshotMemory{}) {
			doc.Memory = nil
		}
	},
	lower: func(s *v1alpha1.VirtualMachineSnapshot, doc *libvirtxml.DomainSnapshot) field.ErrorList {
		if s.Spec.Memory == "" {
			return nil
		}
		mode, known := memoryModes[s.Spec.Memory]
		if !known {
			return field.ErrorList{field.NotSupported(field.NewPath("spec", "memory"), s.Spec.Memory,
				[]v1alpha1.SnapshotMemory{v1alpha1.SnapshotMemoryNone, v1alpha1.SnapshotMemoryInternal, v1alpha1.SnapshotMemoryExternal})}
		}
		if doc.Memory == nil {
			doc.Memory = &libvirtxml.DomainSnapshotMemory{}
		}
		return lowerText(mode, &doc.Memory.Snapshot, snapshotPath.Child("memory", "snapshot"), "spec.memory")
	},
}
