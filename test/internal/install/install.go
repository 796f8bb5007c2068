// Package install puts what Domus ships into the control plane of a test.
package install

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/manifests"
)

// patience is how long an API server may take to serve a namespace or a kind that
// it makes itself. The machine may be small and busy.
const patience = time.Minute

// pause lies between two tries.
const pause = 200 * time.Millisecond

const (
	crdKind  = "CustomResourceDefinition"
	crdGroup = "apiextensions.k8s.io/v1"
)

// first are the kinds that others need, in order.
var first = []string{"Namespace", crdKind}

// Objects are all that is shipped, in an order in which they can be applied.
func Objects() ([]*unstructured.Unstructured, error) {
	files, err := manifests.Base()
	if err != nil {
		return nil, fmt.Errorf("reading the manifests: %w", err)
	}
	return Decode(files)
}

// Decode are the objects in YAML files, in an order in which they can be applied.
func Decode(files [][]byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, file := range files {
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(file), 4096); ; {
			obj := &unstructured.Unstructured{}
			err := decoder.Decode(&obj.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("decoding a manifest: %w", err)
			}
			if len(obj.Object) > 0 {
				objects = append(objects, obj)
			}
		}
	}
	rank := func(obj *unstructured.Unstructured) int {
		if i := slices.Index(first, obj.GetKind()); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	return objects, nil
}

// Without leaves out the objects of kinds.
func Without(objects []*unstructured.Unstructured, kinds ...string) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objects), func(obj *unstructured.Unstructured) bool { return slices.Contains(kinds, obj.GetKind()) })
}

// WebhookKinds are the kinds by which the API server asks vm-scheduler.
var WebhookKinds = []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}

// CallWebhooksAt has webhooks be called at url, which is given a service's path,
// instead of at the service.
func CallWebhooksAt(objects []*unstructured.Unstructured, url func(path string) string) error {
	for _, obj := range objects {
		if !slices.Contains(WebhookKinds, obj.GetKind()) {
			continue
		}
		webhooks, _, err := unstructured.NestedSlice(obj.Object, "webhooks")
		if err != nil {
			return fmt.Errorf("reading %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		for _, w := range webhooks {
			path, _, err := unstructured.NestedString(w.(map[string]any), "clientConfig", "service", "path")
			if err != nil {
				return fmt.Errorf("reading %s %s: %w", obj.GetKind(), obj.GetName(), err)
			}
			w.(map[string]any)["clientConfig"] = map[string]any{"url": url(path)}
		}
		if err := unstructured.SetNestedSlice(obj.Object, webhooks, "webhooks"); err != nil {
			return fmt.Errorf("writing %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
	return nil
}

// Apply applies objects as owner, one after the other, and waits until the kinds
// among them are served.
func Apply(ctx context.Context, c client.Client, owner string, objects []*unstructured.Unstructured) error {
	for _, obj := range objects {
		if err := apply(ctx, c, owner, obj); err != nil {
			return fmt.Errorf("applying %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
	for _, obj := range objects {
		if obj.GetKind() != crdKind {
			continue
		}
		err := wait.PollUntilContextTimeout(ctx, pause, patience, true, func(ctx context.Context) (bool, error) { return established(ctx, c, obj.GetName()) })
		if err != nil {
			return fmt.Errorf("waiting until %s is served: %w", obj.GetName(), err)
		}
	}
	return nil
}

// apply tries again while the API server does not serve the kind yet, or has not
// made its own namespaces.
func apply(ctx context.Context, c client.Client, owner string, obj *unstructured.Unstructured) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pause, patience, true, func(ctx context.Context) (bool, error) {
		last = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj.DeepCopy()), client.FieldOwner(owner), client.ForceOwnership)
		if meta.IsNoMatchError(last) || apierrors.IsNotFound(last) {
			return false, nil
		}
		return true, last
	})
	return cmp.Or(last, err)
}

func established(ctx context.Context, c client.Client, name string) (bool, error) {
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion(crdGroup)
	crd.SetKind(crdKind)
	if err := c.Get(ctx, client.ObjectKey{Name: name}, crd); err != nil {
		return false, fmt.Errorf("reading it: %w", err)
	}
	// In the beginning there is a null, which is no slice.
	said, _, err := unstructured.NestedFieldNoCopy(crd.Object, "status", "conditions")
	if err != nil {
		return false, fmt.Errorf("reading its conditions: %w", err)
	}
	conditions, _ := said.([]any)
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Established" && condition["status"] == "True"
	}), nil
}
