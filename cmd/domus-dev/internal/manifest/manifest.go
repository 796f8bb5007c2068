// Package manifest reads Kubernetes objects from YAML files and fits them to
// an embedded cluster.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Load reads the objects of every .yaml file below fsys, in the order in which
// they can be applied.
func Load(fsys fs.FS) ([]*unstructured.Unstructured, error) {
	var documents [][]byte
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		content, err := fs.ReadFile(fsys, name)
		documents = append(documents, content)
		return err
	})
	if err != nil {
		return nil, err
	}
	return Parse(documents)
}

// Parse reads the objects of files with one YAML document or several each, in
// the order in which they can be applied.
func Parse(files [][]byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, content := range files {
		of, err := parse(content)
		if err != nil {
			return nil, fmt.Errorf("reading %.60q...: %w", content, err)
		}
		objects = append(objects, of...)
	}
	sort.SliceStable(objects, func(i, j int) bool { return rank(objects[i]) < rank(objects[j]) })
	return objects, nil
}

func parse(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(u.Object) == 0 {
			continue
		}
		if u.GetKind() == "" || u.GetName() == "" {
			return nil, errors.New("an object has no kind or no name")
		}
		objects = append(objects, u)
	}
}

// first are the kinds that others need, in order; the rest keeps the files' order.
var first = []string{"Namespace", "CustomResourceDefinition", "PriorityClass", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}

// last are the kinds that can refuse others: a webhook answers only when its
// server runs.
var last = []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}

func rank(u *unstructured.Unstructured) int {
	if i := slices.Index(first, u.GetKind()); i >= 0 {
		return i
	}
	if i := slices.Index(last, u.GetKind()); i >= 0 {
		return len(first) + 1 + i
	}
	return len(first)
}

// workloads are the groups whose objects become pods, which an embedded
// cluster has nobody to run.
var workloads = []string{"apps", "batch"}

// Embed fits objects to a cluster without pods and cluster network: workloads
// are left out, and webhooks are reached by URL instead of by service.
// webhookURL makes the URL from a service's path.
func Embed(objects []*unstructured.Unstructured, webhookURL func(path string) string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, u := range objects {
		if slices.Contains(workloads, u.GroupVersionKind().Group) {
			continue
		}
		u = u.DeepCopy()
		if kind := u.GetKind(); kind == "ValidatingWebhookConfiguration" || kind == "MutatingWebhookConfiguration" {
			if err := reachByURL(u, webhookURL); err != nil {
				return nil, fmt.Errorf("rewriting %s %s: %w", kind, u.GetName(), err)
			}
		}
		out = append(out, u)
	}
	return out, nil
}

func reachByURL(u *unstructured.Unstructured, webhookURL func(path string) string) error {
	webhooks, _, err := unstructured.NestedSlice(u.Object, "webhooks")
	if err != nil {
		return err
	}
	for _, w := range webhooks {
		webhook, ok := w.(map[string]any)
		if !ok {
			return errors.New("a webhook is not an object")
		}
		service, found, err := unstructured.NestedMap(webhook, "clientConfig", "service")
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		servicePath, _, err := unstructured.NestedString(service, "path")
		if err != nil {
			return err
		}
		unstructured.RemoveNestedField(webhook, "clientConfig", "service")
		if err := unstructured.SetNestedField(webhook, webhookURL(servicePath), "clientConfig", "url"); err != nil {
			return err
		}
	}
	return unstructured.SetNestedSlice(u.Object, webhooks, "webhooks")
}
