package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	jsonpatch "gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/class"
)

// ClassesPath is where the webhook is served that writes into VMs what their
// classes give.
const ClassesPath = "/mutate-domus-dev-v1alpha1-virtualmachine"

// maxNamed is how many classes a refusal names.
const maxNamed = 20

// Classes is the mutating webhook for VirtualMachines that name a class.
type Classes struct {
	reader  client.Reader
	decoder admission.Decoder
}

var _ admission.Handler = &Classes{}

// NewClasses returns a Classes. It reads classes with reader, which must not
// find them missing because a cache lags: it should be live.
func NewClasses(scheme *runtime.Scheme, reader client.Reader) *Classes {
	return &Classes{reader: reader, decoder: admission.NewDecoder(scheme)}
}

// Handle implements admission.Handler.
func (c *Classes) Handle(ctx context.Context, req admission.Request) admission.Response {
	vm := &v1alpha1.VirtualMachine{}
	if c.decoder.Decode(req, vm) != nil {
		// The API server has not held it against the schema yet, and will say better
		// what is wrong.
		return admission.Allowed("")
	}
	var old *v1alpha1.VirtualMachine
	if req.Operation == admissionv1.Update {
		old = &v1alpha1.VirtualMachine{}
		if err := c.decoder.DecodeRaw(req.OldObject, old); err != nil {
			return admission.Errored(http.StatusBadRequest, fmt.Errorf("decoding the old VirtualMachine: %w", err))
		}
	}
	if class.WishOf(vm, old) == class.Nothing {
		return admission.Allowed("")
	}
	errs, err := c.TakeOver(ctx, vm, old)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	if len(errs) > 0 {
		return refuse("VirtualMachine", req.Name, errs)
	}
	patches, err := changes(req.Object.Raw, vm)
	switch {
	case err != nil:
		return admission.Errored(http.StatusInternalServerError, err)
	case len(patches) == 0:
		return admission.Allowed("")
	}
	return admission.Patched("", patches...)
}

// changes are the operations by which the written document becomes vm, in what a
// class gives. What is equal and written in another notation is a change: the
// API server would count it as one against what is stored.
func changes(written []byte, vm *v1alpha1.VirtualMachine) ([]jsonpatch.Operation, error) {
	var out []jsonpatch.Operation
	var was struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec map[string]any `json:"spec"`
	}
	if err := json.Unmarshal(written, &was); err != nil {
		return nil, fmt.Errorf("reading the VirtualMachine: %w", err)
	}
	for _, f := range []struct {
		name  string
		value any
		there bool
	}{
		{"class", vm.Spec.Class, vm.Spec.Class != nil},
		{"resources", vm.Spec.Resources, true},
		{"domain", vm.Spec.Domain, vm.Spec.Domain != nil},
	} {
		before, had := was.Spec[f.name]
		after, err := plain(f.value)
		if err != nil {
			return nil, fmt.Errorf("writing spec.%s: %w", f.name, err)
		}
		if had != f.there || f.there && !reflect.DeepEqual(before, after) {
			out = append(out, set("/spec/"+f.name, f.value, f.there))
		}
	}
	before, had := was.Metadata.Annotations[v1alpha1.GivenAnnotation]
	after, has := vm.Annotations[v1alpha1.GivenAnnotation]
	switch {
	case before == after && had == has:
	case len(was.Metadata.Annotations) == 0:
		out = append(out, set("/metadata/annotations", vm.Annotations, true))
	default:
		out = append(out, set("/metadata/annotations/"+strings.ReplaceAll(v1alpha1.GivenAnnotation, "/", "~1"), after, has))
	}
	return out, nil
}

// plain is a value as JSON has it.
func plain(value any) (any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var out any
	err = json.Unmarshal(data, &out)
	return out, err
}

func set(path string, value any, there bool) jsonpatch.Operation {
	if !there {
		return jsonpatch.NewOperation("remove", path, nil)
	}
	return jsonpatch.NewOperation("add", path, value)
}

// TakeOver writes into vm what its class gives it; old is nil for a VM that is
// created. It refuses a class that is not there, and what a VM of a class may not
// have of its own.
func (c *Classes) TakeOver(ctx context.Context, vm, old *v1alpha1.VirtualMachine) (field.ErrorList, error) {
	wish := class.WishOf(vm, old)
	switch wish {
	case class.Nothing:
		return nil, nil
	case class.Leave:
		vm.Spec.Class = nil
		delete(vm.Annotations, v1alpha1.GivenAnnotation)
		return nil, nil
	}
	var before *v1alpha1.VirtualMachineClassSpec
	if old != nil && old.Spec.Class != nil {
		if before = class.Recorded(old); before == nil {
			before = class.Assumed(old)
		}
	}
	if wish == class.Keep {
		given := &class.Given{Name: vm.Spec.Class.Name, Revision: vm.Spec.Class.Revision, Spec: *before}
		return class.Write(vm, old, wish, given, before)
	}
	given, errs, err := c.given(ctx, vm, class.Revision(vm, old), before == nil)
	if err != nil || len(errs) > 0 {
		return errs, err
	}
	return class.Write(vm, old, wish, given, before)
}

var classPath = field.NewPath("spec", "class")

// given is what the VM's class gives at a revision; 0 is the class as it is. One
// that is not the class' own any more is taken from the VM itself, where fresh
// says that it comes with all that it has: from a backup, or another cluster.
func (c *Classes) given(ctx context.Context, vm *v1alpha1.VirtualMachine, revision int64, fresh bool) (*class.Given, field.ErrorList, error) {
	name := vm.Spec.Class.Name
	found, err := c.find(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if found != nil && (revision == 0 || revision == found.Generation) {
		return &class.Given{Name: name, Revision: found.Generation, Spec: found.Spec}, nil, nil
	}
	if revision != 0 && fresh && class.Complete(vm) {
		spec := class.Recorded(vm)
		if spec == nil {
			spec = class.Assumed(vm)
		}
		return &class.Given{Name: name, Revision: revision, Spec: *spec}, nil, nil
	}
	if found == nil {
		there, err := c.names(ctx)
		return nil, field.ErrorList{field.Invalid(classPath.Child("name"), name, "no VirtualMachineClass has this name: "+there)}, err
	}
	return nil, field.ErrorList{field.Invalid(classPath.Child("revision"), revision,
		fmt.Sprintf("VirtualMachineClass %s is at revision %d: leave revision out to take the class over as it is now", name, found.Generation))}, nil
}

// find reads a class; nil when there is none of the name.
func (c *Classes) find(ctx context.Context, name string) (*v1alpha1.VirtualMachineClass, error) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, nil // and none could have it
	}
	found := &v1alpha1.VirtualMachineClass{}
	err := c.reader.Get(ctx, types.NamespacedName{Name: name}, found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading VirtualMachineClass %s: %w", name, err)
	}
	return found, nil
}

// names says which classes there are.
func (c *Classes) names(ctx context.Context) (string, error) {
	list := &v1alpha1.VirtualMachineClassList{}
	if err := c.reader.List(ctx, list); err != nil {
		return "", fmt.Errorf("listing VirtualMachineClasses: %w", err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	switch n := len(names); {
	case n == 0:
		return "there are none: create one, or leave spec.class out and give spec.resources", nil
	case n > maxNamed:
		return fmt.Sprintf("choose one of the %d that `kubectl get virtualmachineclasses` lists, such as %s", n, strings.Join(names[:maxNamed], ", ")), nil
	}
	return "choose one of " + strings.Join(names, ", "), nil
}
