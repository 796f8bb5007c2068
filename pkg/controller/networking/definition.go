package networking

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/cnidefinition"
	"domus.dev/domus/pkg/policy"
)

// rereading is how soon a NetworkAttachmentDefinition is read again. The kind is
// another project's, and may come and go: a watch of it would fail as often.
const rereading = 30 * time.Second

// doubt is why a network cannot be used, as reason and message; empty when it can.
type doubt struct{ reason, message string }

// define reads the NetworkAttachmentDefinition that the network names into its status.
// An error is one of the API server's, after which the status is left as it was.
func (c *Controller) define(ctx context.Context, status *v1alpha1.VirtualNetworkStatus, n *v1alpha1.VirtualNetwork) (doubt, error) {
	if n.Spec.CNI == nil || n.Spec.CNI.DefinitionName == "" {
		status.Definition = nil
		return doubt{}, nil
	}
	name := n.Spec.CNI.DefinitionName
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(cnidefinition.Kind)
	err := c.live.Get(ctx, client.ObjectKey{Namespace: n.Namespace, Name: name}, object)
	switch {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		status.Definition = nil
		message := fmt.Sprintf("there is no NetworkAttachmentDefinition %s in the namespace: create it", name)
		if meta.IsNoMatchError(err) {
			message = "the cluster has no NetworkAttachmentDefinitions: install the CustomResourceDefinition of k8s.cni.cncf.io/v1, or name a configuration of the hosts in spec.cni.configName of another network"
		}
		return doubt{v1alpha1.ReasonDefinitionNotFound, message}, nil
	case err != nil:
		return doubt{}, fmt.Errorf("reading NetworkAttachmentDefinition %s/%s: %w", n.Namespace, name, err)
	}
	namespace := &corev1.Namespace{}
	if err := c.live.Get(ctx, client.ObjectKey{Name: n.Namespace}, namespace); err != nil {
		return doubt{}, fmt.Errorf("reading Namespace %s: %w", n.Namespace, err)
	}
	var why doubt
	status.Definition, why = defined(object, v1alpha1.PolicyLevel(namespace.Labels[v1alpha1.PolicyLevelLabel]))
	return why, nil
}

// defined is what of an object is for hosts, at the policy level of its namespace. It
// is pure.
func defined(object *unstructured.Unstructured, level v1alpha1.PolicyLevel) (*v1alpha1.CNIDefinition, doubt) {
	name := object.GetName()
	config, _, err := unstructured.NestedString(object.Object, "spec", "config")
	if err != nil {
		return nil, doubt{v1alpha1.ReasonDefinitionInvalid, fmt.Sprintf("NetworkAttachmentDefinition %s: spec.config is no string", name)}
	}
	d, err := cnidefinition.Read(name, config)
	if err != nil {
		return nil, doubt{v1alpha1.ReasonDefinitionInvalid, fmt.Sprintf("%s: %v", name, err)}
	}
	out := &v1alpha1.CNIDefinition{UID: string(object.GetUID()), ConfigName: d.Name, Config: d.Config, Plugins: d.Plugins}
	if err := policy.CheckCNIDefinition(out, name, level); err != nil {
		return nil, doubt{v1alpha1.ReasonDefinitionForbidden, err.Error()}
	}
	return out, doubt{}
}
