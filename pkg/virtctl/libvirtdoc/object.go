// Package libvirtdoc makes of the documents that virtctl's commands read the
// objects of Domus, and of objects what the commands write.
package libvirtdoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/documents"
)

// Read is a document that has been read.
type Read struct {
	documents.Document
	// Index is the document's place among those given.
	Index int
	// Object has its kind set, metadata and spec.
	Object client.Object
	// Foreign says that the document was no object of Domus: libvirt's XML, or an
	// object of 2019's style.
	Foreign bool
	// Notes are what a person has to know of how it was read.
	Notes []*documents.Problem
}

// Objects reads each document. With an error, which joins what is wrong with those
// that cannot be read, the others are returned.
func Objects(all []documents.Document, opts objects.FromOptions) ([]Read, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering API types: %w", err)
	}
	var out []Read
	var errs []error
	for i := range all {
		read, err := object(scheme, all[i], opts)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		read.Index = i
		out = append(out, read)
	}
	return out, errors.Join(errs...)
}

func object(scheme *runtime.Scheme, d documents.Document, opts objects.FromOptions) (Read, error) {
	read := Read{Document: d, Foreign: true}
	text := d.Text
	switch {
	case d.Format == documents.XML:
	case convert.IsUnderscoreStyle(d.Node):
		old, err := convert.ReadUnderscoreStyle(d.Node)
		if err != nil {
			return read, placed(d, err)
		}
		text, read.Notes = old.XML, underscoreNotes(&d, old)
		if opts.Name == "" {
			opts.Name = objects.Name(old.Name)
		}
	default:
		read.Foreign = false
		var err error
		read.Object, err = decode(scheme, &d)
		return read, err
	}
	obj, err := objects.FromXML(d.Source, text, opts)
	if err != nil {
		if d.Format != documents.XML {
			return read, inXMLOf(&d, err)
		}
		return read, placed(d, err)
	}
	read.Object = obj
	read.Notes = append(read.Notes, unknownNotes(&d, obj)...)
	return read, nil
}

// underscoreNotes say what 2019's style does not tell.
func underscoreNotes(d *documents.Document, old *convert.UnderscoreStyle) []*documents.Problem {
	var notes []*documents.Problem
	for _, n := range old.Doubtful {
		note := d.Problem(n.Path, "%s is a number where libvirt takes text: if there were zeros before it in libvirt's XML, put it in quotes with them", n.Text)
		note.Line = n.Line
		notes = append(notes, note)
	}
	if len(old.Ignored) > 0 {
		slices.Sort(old.Ignored)
		notes = append(notes, d.Problem("spec", "left out is what is no part of libvirt's XML: %s", strings.Join(old.Ignored, ", ")))
	}
	return notes
}

// decode reads an object of Domus, as strictly as kubectl does.
func decode(scheme *runtime.Scheme, d *documents.Document) (client.Object, error) {
	var meta metav1.TypeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.Text, &meta); err != nil {
		return nil, d.Problem("", "apiVersion and kind must be text: %v", err)
	}
	gvk := meta.GroupVersionKind()
	if gvk.GroupVersion() != v1alpha1.GroupVersion {
		return nil, d.Problem("apiVersion", "%q is not %q: give libvirt's XML, or an object of Domus", meta.APIVersion, v1alpha1.GroupVersion)
	}
	into, err := scheme.New(gvk)
	obj, ok := into.(client.Object)
	if err != nil || !ok {
		return nil, d.Problem("kind", "there is no kind %q in %s: see `kubectl api-resources --api-group=%s`", meta.Kind, v1alpha1.GroupVersion, v1alpha1.GroupName)
	}
	if err := documents.Misfits(d.Text, reflect.TypeOf(into).Elem()); err != nil {
		return nil, placed(*d, err)
	}
	strict, err := kjson.UnmarshalStrict(d.Text, obj)
	var errs []error
	for _, err := range append(strict, err) {
		if err == nil {
			continue
		}
		path := ""
		if found := quotedField.FindStringSubmatch(err.Error()); found != nil {
			path = found[1]
		}
		errs = append(errs, d.Problem(path, "%v: see `kubectl explain %s.spec`", err, strings.ToLower(meta.Kind)))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return obj, errors.Join(checkSize(d, obj), checkAmounts(d, obj))
}

// quotedField finds the field in what strict decoding says.
var quotedField = regexp.MustCompile(`field "([^"]+)"`)

// checkSize refuses what the API server would: the limit is on what people write.
func checkSize(d *documents.Document, obj client.Object) error {
	own, err := Plain(obj)
	if err != nil {
		return err
	}
	if raw, err := json.Marshal(own); err != nil || len(raw) > v1alpha1.MaxDocumentBytes {
		return d.Problem("", "is too large: %d bytes as JSON, and at most %d are accepted: move large data out of it", len(raw), v1alpha1.MaxDocumentBytes)
	}
	return nil
}

// checkAmounts refuses amounts that no document of libvirt's can say: XML would
// have another one in their place.
func checkAmounts(d *documents.Document, obj client.Object) error {
	amounts := map[string]*resource.Quantity{}
	switch o := obj.(type) {
	case *v1alpha1.VirtualMachine:
		amounts["spec.resources.memory"], amounts["spec.resources.maxMemory"] = &o.Spec.Resources.Memory, o.Spec.Resources.MaxMemory
	case *v1alpha1.VirtualDisk:
		amounts["spec.size"] = o.Spec.Size
	}
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(amounts)) {
		q := amounts[path]
		switch {
		case q == nil:
		case q.Sign() < 0:
			errs = append(errs, d.Problem(path, "%s is less than nothing", q))
		case q.CmpInt64(math.MaxInt64) > 0:
			errs = append(errs, d.Problem(path, "%s is more than libvirt can say: at most %d bytes", q, int64(math.MaxInt64)))
		case q.CmpInt64(q.Value()) != 0:
			errs = append(errs, d.Problem(path, "%s is no whole number of bytes: M is a million and Mi 1048576 of them, m a thousandth of one", q))
		}
	}
	return errors.Join(errs...)
}

// kept of an object's metadata is what people write; the rest its cluster does.
var kept = []string{"name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"}

// Plain is an object without its status and what its cluster adds to it, so that
// it can be created anew.
func Plain(obj client.Object) (map[string]any, error) {
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", obj.GetName(), err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var whole map[string]any
	if err := d.Decode(&whole); err != nil {
		return nil, fmt.Errorf("writing %s: %w", obj.GetName(), err)
	}
	delete(whole, "status")
	metadata, _ := whole["metadata"].(map[string]any)
	own := map[string]any{}
	for _, key := range kept {
		if value, there := metadata[key]; there {
			own[key] = value
		}
	}
	if annotations, ok := own["annotations"].(map[string]any); ok {
		delete(annotations, lastApplied)
		if len(annotations) == 0 {
			delete(own, "annotations")
		}
	}
	whole["metadata"] = own
	return whole, nil
}

// lastApplied is kubectl's copy of what it applied.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
