// Package vmstatus writes a VirtualMachine's status: one JSON patch a write,
// guarded so that a writer whose view is old changes nothing.
//
// A patch tests the object's UID and its epoch, and touches only the top-level
// status fields that the writer changed. Labels edited meanwhile, or fields of
// another writer, thus never conflict; an unbinding or a recreated object
// always does.
package vmstatus

import (
	"encoding/json"
	"fmt"
	"reflect"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Operation is one operation of an RFC 6902 JSON patch.
type Operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// field is one top-level field of the status.
type field struct {
	name string
	// shared fields have several writers, each for its own entries: the patch
	// tests the whole of the old value.
	shared bool
	// derived fields follow from the conditions: a patch that changes one tests
	// those.
	derived bool
	// revised fields are set once and then changed in part: a patch that changes
	// one tests the whole of the old value.
	revised bool
	// value returns the field, or nil when it is unset.
	value func(*v1alpha1.VirtualMachineStatus) any
}

// fields lists every top-level status field that a writer may change.
var fields = []field{
	{name: "observedGeneration", value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetZero(s.ObservedGeneration) }},
	{name: "phase", value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetZero(s.Phase) }},
	{name: "epoch", value: func(s *v1alpha1.VirtualMachineStatus) any { return s.Epoch }},
	{name: "placement", revised: true, value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetNil(s.Placement) }},
	{name: "nominatedNodeName", value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetZero(s.NominatedNodeName) }},
	{name: "eviction", value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetNil(s.Eviction) }},
	{name: "excludedHosts", value: func(s *v1alpha1.VirtualMachineStatus) any {
		if len(s.ExcludedHosts) == 0 {
			return nil
		}
		return s.ExcludedHosts
	}},
	{name: "hold", value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetNil(s.Hold) }},
	{name: "host", value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetNil(s.Host) }},
	{name: "interfaces", value: func(s *v1alpha1.VirtualMachineStatus) any {
		if len(s.Interfaces) == 0 {
			return nil
		}
		return s.Interfaces
	}},
	{name: "guest", value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetNil(s.Guest) }},
	{name: conditionsField, shared: true, value: conditions},
	{name: "reason", derived: true, value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetZero(s.Reason) }},
	{name: "message", derived: true, value: func(s *v1alpha1.VirtualMachineStatus) any { return unsetZero(s.Message) }},
}

const conditionsField = "conditions"

func unsetZero[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

func unsetNil[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}

// conditions is never null: the CRD defaults the list to empty, and a test
// operation compares with what is stored.
func conditions(s *v1alpha1.VirtualMachineStatus) any {
	if len(s.Conditions) == 0 {
		return []struct{}{}
	}
	return s.Conditions
}

// Guard is what a write depends on besides the object's UID.
type Guard struct {
	// Generation, when not 0, must still be the object's: the write was decided
	// on that spec.
	Generation int64
}

// Build returns the patch that turns old's status into next, and nil when
// nothing differs. It never looks at anything but its arguments.
func Build(old *v1alpha1.VirtualMachine, next *v1alpha1.VirtualMachineStatus, guard Guard) ([]Operation, error) {
	var changes []Operation
	tested := false // the conditions
	for _, f := range fields {
		was, is := f.value(&old.Status), f.value(next)
		if reflect.DeepEqual(was, is) {
			continue
		}
		wasJSON, err := json.Marshal(was)
		if err != nil {
			return nil, fmt.Errorf("encoding status.%s: %w", f.name, err)
		}
		isJSON, err := json.Marshal(is)
		if err != nil {
			return nil, fmt.Errorf("encoding status.%s: %w", f.name, err)
		}
		if string(wasJSON) == string(isJSON) {
			continue
		}
		path := "/status/" + f.name
		switch {
		case f.shared || f.revised && was != nil && is != nil:
			changes = append(changes, Operation{Op: "test", Path: path, Value: wasJSON})
			tested = tested || f.name == conditionsField
		case f.derived && !tested:
			from, err := json.Marshal(conditions(&old.Status))
			if err != nil {
				return nil, fmt.Errorf("encoding status.%s: %w", conditionsField, err)
			}
			changes = append(changes, Operation{Op: "test", Path: "/status/" + conditionsField, Value: from})
			tested = true
		}
		if is == nil {
			changes = append(changes, Operation{Op: "remove", Path: path})
			continue
		}
		changes = append(changes, Operation{Op: "add", Path: path, Value: isJSON})
	}
	if len(changes) == 0 {
		return nil, nil
	}
	uid, err := json.Marshal(old.UID)
	if err != nil {
		return nil, fmt.Errorf("encoding metadata.uid: %w", err)
	}
	ops := []Operation{
		{Op: "test", Path: "/metadata/uid", Value: uid},
		{Op: "test", Path: "/status/epoch", Value: json.RawMessage(fmt.Sprint(old.Status.Epoch))},
	}
	if guard.Generation != 0 {
		ops = append(ops, Operation{Op: "test", Path: "/metadata/generation", Value: json.RawMessage(fmt.Sprint(guard.Generation))})
	}
	return append(ops, changes...), nil
}
