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
		"no quantity":               {in: head + "spec: {resources: {cpu: 2, memory: 1GB}}\n", err: `spec.resources.memory: "1GB" is given: expected is a quantity, such as 512Mi or 4Gi`},
		"a word that is a bool":     {in: head + "spec: {powerState: Off}\n", err: "spec.powerState: false is given: expected is one of Running, Stopped, Paused, Suspended"},
		"a number in quotes":        {in: head + "spec: {resources: {cpu: \"2\"}}\n", err: `spec.resources.cpu: "2" is given: expected is a whole number, without quotes`},
		"a name for an object":      {in: head + "spec: {class: medium}\n", err: `spec.class: "medium" is given: expected is an object with fields such as name, revision`},
		"a number for a label":      {in: head + "metadata: {labels: {tier: 1}}\n", err: "metadata.labels.tier: 1 is given: expected is text: put it in quotes"},
		"an item of a list":         {in: head + "spec: {resources: {devices: [{name: gpu, count: 1}, {name: nic, count: two}]}}\n", err: `spec.resources.devices[1].count: "two" is given`},
		"two wrong":                 {in: head + "spec: {powerState: Off, resources: {cpu: 2, memory: 1GB}}\n", err: "Suspended\nspec.resources.memory: "},
		"no size":                   {in: head + "spec: {}\n", err: "spec.resources.cpu: required: give it, or name a VirtualMachineClass in spec.class.name\nspec.resources.memory: required"},
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

// Each of several is said with the file it is in; a class says the size.
func TestLoad(t *testing.T) {
	_, err := load("-", strings.NewReader(head+"spec: {powerState: Off, resources: {cpu: 2.5, memory: 1Gi}}\n"))
	if err == nil || strings.Count(err.Error(), "reading -: spec.") != 2 {
		t.Errorf("got %v, want two errors of -", err)
	}
	if _, err := load("-", strings.NewReader(head+"spec: {class: {name: medium}}\n")); err != nil {
		t.Errorf("of a class: %v", err)
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
