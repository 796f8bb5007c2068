package vmstatus

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestBuild(t *testing.T) {
	const guards = `{"op":"test","path":"/metadata/uid","value":"u"} {"op":"test","path":"/status/epoch","value":3}`
	for name, test := range map[string]struct {
		guard  Guard
		placed *v1alpha1.Placement
		change func(*v1alpha1.VirtualMachineStatus)
		want   string
	}{
		"nothing changed": {change: func(*v1alpha1.VirtualMachineStatus) {}, want: ""},
		"a binding touches what it changes": {
			guard:  Guard{Generation: 7},
			change: func(s *v1alpha1.VirtualMachineStatus) { s.Placement = &v1alpha1.Placement{NodeName: "a"} },
			want: guards + ` {"op":"test","path":"/metadata/generation","value":7}` +
				` {"op":"add","path":"/status/placement","value":{"nodeName":"a","granted":{"cpu":0,"memory":0,"overhead":0}}}`,
		},
		"a grant is changed from what it was": {
			change: func(s *v1alpha1.VirtualMachineStatus) {
				s.Placement = &v1alpha1.Placement{NodeName: "a", Granted: v1alpha1.GrantedResources{CPU: 2}}
			},
			placed: &v1alpha1.Placement{NodeName: "a", Granted: v1alpha1.GrantedResources{CPU: 1}},
			want: guards + ` {"op":"test","path":"/status/placement","value":{"nodeName":"a","granted":{"cpu":1,"memory":0,"overhead":0}}}` +
				` {"op":"add","path":"/status/placement","value":{"nodeName":"a","granted":{"cpu":2,"memory":0,"overhead":0}}}`,
		},
		"a field that is cleared is removed": {
			change: func(s *v1alpha1.VirtualMachineStatus) { s.NominatedNodeName = "" },
			want:   guards + ` {"op":"remove","path":"/status/nominatedNodeName"}`,
		},
		"conditions have two writers": {
			change: func(s *v1alpha1.VirtualMachineStatus) { s.Conditions = nil },
			want: guards + ` {"op":"test","path":"/status/conditions","value":[{"type":"Ready","status":"","lastTransitionTime":null,"reason":"","message":""}]}` +
				` {"op":"add","path":"/status/conditions","value":[]}`,
		},
		"what follows from the conditions is written with them": {
			change: func(s *v1alpha1.VirtualMachineStatus) {
				s.Conditions, s.Reason, s.Message = nil, "HostUnreachable", "why"
			},
			want: guards + ` {"op":"test","path":"/status/conditions","value":[{"type":"Ready","status":"","lastTransitionTime":null,"reason":"","message":""}]}` +
				` {"op":"add","path":"/status/conditions","value":[]}` +
				` {"op":"add","path":"/status/reason","value":"HostUnreachable"} {"op":"add","path":"/status/message","value":"why"}`,
		},
		"alone only where they are as they were": {
			change: func(s *v1alpha1.VirtualMachineStatus) { s.Reason, s.Message = "HostUnreachable", "why" },
			want: guards + ` {"op":"test","path":"/status/conditions","value":[{"type":"Ready","status":"","lastTransitionTime":null,"reason":"","message":""}]}` +
				` {"op":"add","path":"/status/reason","value":"HostUnreachable"} {"op":"add","path":"/status/message","value":"why"}`,
		},
		"the epoch it tests is the old one": {
			change: func(s *v1alpha1.VirtualMachineStatus) { s.Epoch = 4 },
			want:   guards + ` {"op":"add","path":"/status/epoch","value":4}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
			vm.Status = v1alpha1.VirtualMachineStatus{Epoch: 3, NominatedNodeName: "n", Conditions: []metav1.Condition{{Type: "Ready"}}}
			vm.Status.Placement = test.placed
			next := vm.Status.DeepCopy()
			test.change(next)
			ops, err := Build(vm, next, test.guard)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, op := range ops {
				data, err := json.Marshal(op)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(data))
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}

// A status field that is added to the API must be added here, or no writer can
// change it.
func TestEveryStatusFieldCanBeWritten(t *testing.T) {
	known := map[string]bool{}
	for _, f := range fields {
		known[f.name] = true
	}
	status := reflect.TypeFor[v1alpha1.VirtualMachineStatus]()
	for i := range status.NumField() {
		name, _, _ := strings.Cut(status.Field(i).Tag.Get("json"), ",")
		if !known[name] {
			t.Errorf("status.%s is not among the fields", name)
		}
		delete(known, name)
	}
	if len(known) > 0 {
		t.Errorf("fields that the API has not: %v", known)
	}
}
