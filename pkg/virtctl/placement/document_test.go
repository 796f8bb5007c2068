package placement

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/virtctl/cluster"
)

const head = "apiVersion: domus.dev/v1alpha1\nkind: VirtualMachine\n"

func TestParse(t *testing.T) {
	for name, test := range map[string]struct{ in, err string }{
		"YAML":                      {in: "# mine\n---\n" + head + "metadata: {name: a}\nspec: {resources: {cpu: 2, memory: 1Gi}, domain: {title: x}}\n---\n# end\n"},
		"JSON":                      {in: `{"apiVersion":"domus.dev/v1alpha1","kind":"VirtualMachine","spec":{"resources":{"cpu":2,"memory":"1Gi"}}}`},
		"nothing":                   {in: "# nothing\n", err: "empty"},
		"two":                       {in: head + "---\n" + head, err: "more than one"},
		"another kind":              {in: "apiVersion: v1\nkind: Pod\nspec: {containers: []}\n", err: `kind "Pod"`},
		"a field that is not there": {in: head + "spec: {resources: {cpus: 2}}\n", err: `unknown field "spec.resources.cpus"`},
		"a field twice":             {in: head + "spec: {resources: {cpu: 2, cpu: 3}}\n", err: `"cpu" already set`},
		"no YAML":                   {in: "{", err: "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			vm, err := parse(strings.NewReader(test.in))
			switch {
			case test.err != "":
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
			case err != nil:
				t.Error(err)
			case vm.Spec.Resources.CPU != 2 || vm.Spec.Resources.Memory.Value() != 1<<30:
				t.Errorf("read %+v", vm)
			}
		})
	}
}

func TestNamespaceOfADocument(t *testing.T) {
	in := head + "metadata: {name: a, namespace: doc}\nspec: {resources: {cpu: 2, memory: 1Gi}}\n"
	s := &Subject{filename: "-"}
	for name, test := range map[string]struct {
		namespace cluster.Namespace
		want, err string
	}{
		"the document's":   {cluster.Namespace{Name: "default"}, "doc", ""},
		"both say so":      {cluster.Namespace{Name: "doc", Explicit: true}, "doc", ""},
		"they contradict":  {cluster.Namespace{Name: "other", Explicit: true}, "", "contradicts"},
		"the kubeconfig's": {cluster.Namespace{Name: "doc"}, "doc", ""},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := s.Question(nil, strings.NewReader(in), test.namespace)
			got := q.Namespace
			if err == nil && got != test.want || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %q, %v; want %q, %q", got, err, test.want, test.err)
			}
		})
	}
}
