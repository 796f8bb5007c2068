package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// lightVM is what the bench looks at of a VirtualMachine. Both cores are the
// candidates'; decoding all of each VM for each event would take its share of
// them on one side alone, where Pods come in protobuf.
type lightVM struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Epoch     int64                `json:"epoch"`
		Placement *struct{}            `json:"placement"`
		Eviction  *struct{}            `json:"eviction"`
		Host      *v1alpha1.HostStatus `json:"host"`
	} `json:"status"`
}

// DeepCopyObject implements runtime.Object. It is shallow: nothing here changes
// what it has read.
func (l *lightVM) DeepCopyObject() runtime.Object {
	out := *l
	return &out
}

type lightVMList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []lightVM `json:"items"`
}

// DeepCopyObject implements runtime.Object; see lightVM.
func (l *lightVMList) DeepCopyObject() runtime.Object {
	out := *l
	return &out
}

// lightScheme knows VirtualMachines by what is looked at.
func lightScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypeWithName(v1alpha1.GroupVersion.WithKind("VirtualMachine"), &lightVM{})
	s.AddKnownTypeWithName(v1alpha1.GroupVersion.WithKind("VirtualMachineList"), &lightVMList{})
	metav1.AddToGroupVersion(s, v1alpha1.GroupVersion)
	return s
}
