package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// trust puts the authority into caBundle of every webhook of both
// configurations.
func trust(ctx context.Context, c client.Client, authority []byte) error {
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	return errors.Join(
		trustIn(ctx, c, "ValidatingWebhookConfiguration", validating, func() (of []*admissionregistrationv1.WebhookClientConfig) {
			for i := range validating.Webhooks {
				of = append(of, &validating.Webhooks[i].ClientConfig)
			}
			return of
		}, authority),
		trustIn(ctx, c, "MutatingWebhookConfiguration", mutating, func() (of []*admissionregistrationv1.WebhookClientConfig) {
			for i := range mutating.Webhooks {
				of = append(of, &mutating.Webhooks[i].ClientConfig)
			}
			return of
		}, authority),
	)
}

// trustIn puts the authority into caBundle of one configuration's webhooks;
// webhooks tells where they are once it is read.
func trustIn(ctx context.Context, c client.Client, kind string, configuration client.Object, webhooks func() []*admissionregistrationv1.WebhookClientConfig, authority []byte) error {
	if err := c.Get(ctx, types.NamespacedName{Name: WebhookConfiguration}, configuration); err != nil {
		if apierrors.IsNotFound(err) {
			// Installed without: hosts check the domain all the same, and reviews
			// are not answered.
			return nil
		}
		return fmt.Errorf("reading %s %s: %w", kind, WebhookConfiguration, err)
	}
	changed := false
	for _, w := range webhooks() {
		if !bytes.Equal(w.CABundle, authority) {
			w.CABundle, changed = authority, true
		}
	}
	if !changed {
		return nil
	}
	if err := c.Update(ctx, configuration); err != nil {
		return fmt.Errorf("writing caBundle of %s %s: %w", kind, WebhookConfiguration, err)
	}
	return nil
}
