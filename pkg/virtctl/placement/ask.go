// Package placement is what the commands share that ask vm-scheduler where VMs
// go: what they ask about, how they ask, and how they fail.
package placement

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Ask returns the answer to q. It stores nothing.
func Ask(ctx context.Context, c client.Client, q Question) (*v1alpha1.PlacementReviewStatus, error) {
	review := &v1alpha1.PlacementReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: q.Namespace, GenerateName: "virtctl-"},
		Spec:       q.Spec,
	}
	if err := c.Create(ctx, review, client.DryRunAll); err != nil {
		return nil, withRemedy(err, q.Namespace)
	}
	if review.Status == nil {
		return nil, errUnanswered
	}
	return review.Status, nil
}
