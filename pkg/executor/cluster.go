package executor

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// clusterID reads what tells this cluster's domains from another's: the UID of
// the kube-system Namespace, which lives as long as the cluster's data.
func clusterID(ctx context.Context, c client.Reader) (string, error) {
	ns := &corev1.Namespace{}
	if err := c.Get(ctx, types.NamespacedName{Name: "kube-system"}, ns); err != nil {
		return "", fmt.Errorf("reading the cluster's identity, the UID of Namespace kube-system: %w", err)
	}
	if ns.UID == "" {
		return "", fmt.Errorf("reading the cluster's identity: Namespace kube-system has no UID")
	}
	return string(ns.UID), nil
}

// policyLevel reads what the VM's namespace allows, as it is now. Whatever is
// not plainly a level is the strictest one.
func policyLevel(ctx context.Context, c client.Reader, namespace string) (v1alpha1.PolicyLevel, error) {
	ns := &corev1.Namespace{}
	if err := c.Get(ctx, types.NamespacedName{Name: namespace}, ns); err != nil {
		return "", fmt.Errorf("reading the policy level of Namespace %s: %w", namespace, err)
	}
	if level := v1alpha1.PolicyLevel(ns.Labels[v1alpha1.PolicyLevelLabel]); level == v1alpha1.PolicyPrivileged {
		return level, nil
	}
	return v1alpha1.PolicyRestricted, nil
}
