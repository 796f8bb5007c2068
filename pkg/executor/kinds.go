package executor

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// newScheme has the kinds that an executor reads and writes.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("preparing the API's kinds: %w", err)
	}
	return scheme, nil
}

// newMapper knows the resources of those kinds. They are written down here
// rather than discovered: an executor must start while the API server is away.
func newMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(v1alpha1.GroupVersion.WithKind("VirtualMachine"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("VirtualMachineOperation"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("VirtualDisk"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("VirtualNetwork"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("VirtualMachineSnapshot"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("VirtualDiskImage"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("TransferTicket"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("Hypervisor"), meta.RESTScopeRoot)
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	return m
}
