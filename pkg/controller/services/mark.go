// Package services keeps the EndpointSlices of Services that lead to VMs, so that
// kube-proxy and DNS treat VMs as they treat Pods. Which slices there are to be is
// worked out by k8s.io/endpointslice, the library of Kubernetes' own controller, to
// which VMs are shown as Pods: see docs/adr/0036.
package services

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/labels"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// mark is what a Service says of VMs.
type mark struct {
	selector labels.Selector
	// network is a VirtualNetwork's name; empty for each VM's own default.
	network string
}

// marked says whether the Service is to lead to VMs, well said or not.
func marked(s *corev1.Service) bool {
	_, is := s.Annotations[v1alpha1.ServiceSelectorAnnotation]
	return is
}

// read parses what a marked Service says. An error names the annotation or field, and
// the remedy.
func read(s *corev1.Service) (mark, error) {
	text := s.Annotations[v1alpha1.ServiceSelectorAnnotation]
	if strings.TrimSpace(text) == "" {
		return mark{}, fmt.Errorf("annotation %s is empty: give it a label selector such as app=web, or remove it", v1alpha1.ServiceSelectorAnnotation)
	}
	selector, err := labels.Parse(text)
	if err != nil {
		return mark{}, fmt.Errorf("annotation %s: %q is no label selector: %w", v1alpha1.ServiceSelectorAnnotation, text, err)
	}
	network, named := s.Annotations[v1alpha1.ServiceNetworkAnnotation]
	if named && len(validation.NameIsDNSSubdomain(network, false)) > 0 {
		return mark{}, fmt.Errorf("annotation %s: %q is no name of a VirtualNetwork: name one, or remove the annotation", v1alpha1.ServiceNetworkAnnotation, network)
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return mark{}, fmt.Errorf("a Service of type ExternalName is a name in DNS and leads to no VM: change spec.type, or remove annotation %s", v1alpha1.ServiceSelectorAnnotation)
	}
	return mark{selector: selector, network: network}, nil
}

// Trim keeps of Services what is looked at here: of those that are not for VMs their
// names.
func Trim(obj any) (any, error) {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return obj, nil
	}
	s.ManagedFields, s.Status = nil, corev1.ServiceStatus{}
	if !marked(s) {
		s.Annotations, s.Labels, s.OwnerReferences, s.Spec = nil, nil, nil, corev1.ServiceSpec{}
	}
	return s, nil
}
