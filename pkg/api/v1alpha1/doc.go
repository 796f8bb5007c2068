// Package v1alpha1 holds the kinds of domus.dev/v1alpha1: what a user may ask
// for, what Domus reports back, and which component writes which field.
//
// +kubebuilder:object:generate=true
// +groupName=domus.dev
package v1alpha1
