package vmstatus

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// metadataOnly asks for an answer without the object: who has just written it
// knows it, and a watch brings it anyway.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// Replacer writes a status as a whole on an object that nobody has changed
// since. That costs the API server a third less than a patch, which has it
// encode, patch and decode the object; but any other write in between, of
// labels too, makes it a conflict. Use it where there seldom is one, and a
// Writer when there was.
type Replacer struct{ client rest.Interface }

// NewReplacer returns a Replacer with a client of its own for cfg's cluster.
func NewReplacer(cfg *rest.Config) (*Replacer, error) {
	own := rest.CopyConfig(cfg)
	own.GroupVersion = &v1alpha1.GroupVersion
	own.APIPath = "/apis"
	own.ContentType, own.AcceptContentTypes = runtime.ContentTypeJSON, ""
	// Of answers only errors are decoded: those are Kubernetes' own.
	own.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	c, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("making a client for statuses: %w", err)
	}
	return &Replacer{client: c}, nil
}

// replacement is what is sent: in a write of the status the API server looks at
// nothing else.
type replacement struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        replacedMeta                   `json:"metadata"`
	Status          *v1alpha1.VirtualMachineStatus `json:"status"`
}

type replacedMeta struct {
	Namespace       string    `json:"namespace"`
	Name            string    `json:"name"`
	UID             types.UID `json:"uid"`
	ResourceVersion string    `json:"resourceVersion"`
}

// Replace stores next as the status of what observed is. Errors: Conflict when
// observed is not the newest, NotFound when it is gone, anything else as the API
// server said it.
func (r *Replacer) Replace(ctx context.Context, observed *v1alpha1.VirtualMachine, next *v1alpha1.VirtualMachineStatus) error {
	body, err := json.Marshal(replacement{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "VirtualMachine"},
		Metadata: replacedMeta{Namespace: observed.Namespace, Name: observed.Name, UID: observed.UID, ResourceVersion: observed.ResourceVersion},
		Status:   next,
	})
	if err != nil {
		return fmt.Errorf("encoding a status: %w", err)
	}
	err = r.client.Put().Namespace(observed.Namespace).Resource("virtualmachines").Name(observed.Name).SubResource("status").
		// Types of our own have no unknown fields: the API server need not look.
		Param("fieldValidation", metav1.FieldValidationIgnore).
		SetHeader("Accept", metadataOnly).SetHeader("Content-Type", runtime.ContentTypeJSON).Body(body).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("writing status of VirtualMachine %s/%s: %w", observed.Namespace, observed.Name, err)
	}
	return nil
}

// Swift writes as a Replacer and, where that meets another's write, as a Writer
// does. It is for objects that a cache brings up to date.
type Swift struct {
	replacer *Replacer
	writer   *Writer
}

// NewSwift returns a Swift of both.
func NewSwift(r *Replacer, w *Writer) *Swift { return &Swift{replacer: r, writer: w} }

// Write lets mutate change a copy of observed's status and stores it if it
// differs. What observed was when it was read decides, as with PatchGuarded,
// whose errors these are.
func (s *Swift) Write(ctx context.Context, observed *v1alpha1.VirtualMachine, guard Guard, mutate func(*v1alpha1.VirtualMachineStatus)) error {
	next := observed.Status.DeepCopy()
	mutate(next)
	summarize(next)
	if equality.Semantic.DeepEqual(&observed.Status, next) {
		return nil
	}
	if guard.Generation == 0 || guard.Generation == observed.Generation {
		if err := s.replacer.Replace(ctx, observed, next); !apierrors.IsConflict(err) {
			return err
		}
	}
	// Someone has written the VM since it was cached: labels, or another part of
	// its status. A patch has that stand.
	_, err := s.writer.PatchGuarded(ctx, observed, guard, mutate)
	return err
}
