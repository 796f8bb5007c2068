package admission

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestResources(t *testing.T) {
	for name, test := range map[string]struct {
		resources string
		want      []string
	}{
		"plain":                           {`{cpu: 1, memory: 1Gi}`, nil},
		"the least":                       {`{cpu: 1, memory: 1Mi}`, nil},
		"less":                            {`{cpu: 1, memory: 1048575}`, []string{"r.memory: Invalid value: \"1048575\": must be a whole number of bytes, at least 1Mi"}},
		"part of a byte":                  {`{cpu: 1, memory: "1073741824500m"}`, []string{"must be a whole number of bytes"}},
		"negative":                        {`{cpu: 1, memory: -1Gi}`, []string{"r.memory: Invalid value: \"-1Gi\": must be a whole number of bytes, at least 1Mi"}},
		"half a gibibyte more":            {`{cpu: 1, memory: 1.5Gi}`, nil},
		"the most":                        {`{cpu: 1, memory: 64Ti}`, nil},
		"more":                            {`{cpu: 1, memory: 65Ti}`, []string{"r.memory: Invalid value: \"65Ti\": must be at most 64Ti"}},
		"more than can be counted":        {`{cpu: 1, memory: 9000E}`, []string{"r.memory: Invalid value"}},
		"whole pages":                     {`{cpu: 1, memory: 2Gi, hugepages: {pageSize: 1Gi}}`, nil},
		"part of a page":                  {`{cpu: 1, memory: 1536Mi, hugepages: {pageSize: 1Gi}}`, []string{"must be a multiple of hugepages.pageSize (1Gi): round memory up"}},
		"part of a small page":            {`{cpu: 1, memory: 3Mi, hugepages: {pageSize: 2Mi}}`, []string{"must be a multiple of hugepages.pageSize (2Mi)"}},
		"threads of shared CPUs":          {`{cpu: 2, memory: 1Gi, threads: apart}`, []string{"r.threads: Invalid value: \"apart\": is only for dedicated CPUs"}},
		"threads of dedicated CPUs":       {`{cpu: 2, memory: 1Gi, cpuPolicy: dedicated, threads: apart}`, nil},
		"an overhead":                     {`{cpu: 2, memory: 1Gi, overhead: 300Mi}`, nil},
		"none":                            {`{cpu: 2, memory: 1Gi, overhead: 0}`, nil},
		"less than none":                  {`{cpu: 2, memory: 1Gi, overhead: "-1"}`, []string{"r.overhead: Invalid value: \"-1\": must be a whole number of bytes, at most 64Ti"}},
		"an overhead of parts of a byte":  {`{cpu: 2, memory: 1Gi, overhead: 500m}`, []string{"r.overhead"}},
		"two things at once":              {`{cpu: 2, memory: 1, threads: together}`, []string{"r.memory", "r.threads"}},
		"an overhead beyond any host's":   {`{cpu: 2, memory: 1Gi, overhead: 65Ti}`, []string{"r.overhead"}},
		"may grow":                        {`{cpu: 2, memory: 1Gi, maxCPU: 8, maxMemory: 4Gi}`, nil},
		"may grow by nothing":             {`{cpu: 2, memory: 1Gi, maxCPU: 2, maxMemory: 1024Mi}`, nil},
		"a reach below what it has":       {`{cpu: 4, memory: 2Gi, maxCPU: 3, maxMemory: 1Gi}`, []string{"r.maxCPU: Invalid value: 3: must be at least cpu (4): raise it, or leave it out", "r.maxMemory: Invalid value: \"1Gi\": must be at least memory (2Gi): raise it"}},
		"dedicated CPUs do not grow":      {`{cpu: 2, memory: 1Gi, maxCPU: 4, cpuPolicy: dedicated}`, []string{"r.maxCPU: Forbidden: dedicated CPUs are chosen when the VM is placed"}},
		"shared CPUs do":                  {`{cpu: 2, memory: 1Gi, maxCPU: 4, cpuPolicy: shared, numa: none}`, nil},
		"cells do not grow":               {`{cpu: 2, memory: 1Gi, maxCPU: 4, maxMemory: 2Gi, numa: single-cell}`, []string{"r.maxCPU: Forbidden: a guest that lies in NUMA cells cannot grow: leave it out, or set numa to none", "r.maxMemory: Forbidden: a guest that lies in NUMA cells"}},
		"pages do not grow":               {`{cpu: 2, memory: 1Gi, maxMemory: 2Gi, hugepages: {pageSize: 2Mi}}`, []string{"r.maxMemory: Forbidden: the balloon gives no hugepages back to the host: leave it out, or leave hugepages out"}},
		"CPUs beside pages do":            {`{cpu: 2, memory: 1Gi, maxCPU: 4, hugepages: {pageSize: 2Mi}}`, nil},
		"a reach beyond any host's":       {`{cpu: 2, memory: 1Gi, maxMemory: 65Ti}`, []string{"r.maxMemory: Invalid value: \"65Ti\": must be at most 64Ti"}},
		"a reach of parts of a byte":      {`{cpu: 2, memory: 1Gi, maxMemory: 4294967296500m}`, []string{"r.maxMemory: Invalid value: \"4294967296500m\": must be a whole number of bytes"}},
		"pages, and memory is no integer": {`{cpu: 2, memory: 500m, hugepages: {pageSize: 1Gi}}`, []string{"r.memory: Invalid value: \"500m\": must be a whole number"}},
	} {
		t.Run(name, func(t *testing.T) {
			var r v1alpha1.VirtualMachineResources
			if err := yaml.UnmarshalStrict([]byte(test.resources), &r); err != nil {
				t.Fatal(err)
			}
			errs := checkResources(&r, field.NewPath("r"))
			if len(errs) != len(test.want) {
				t.Fatalf("errors %v, want %d", errs, len(test.want))
			}
			for i, want := range test.want {
				if got := errs[i].Error(); !strings.Contains(got, want) {
					t.Errorf("error %q, want %q in it", got, want)
				}
			}
		})
	}
}

func TestMemoryGrowsByTheBalloon(t *testing.T) {
	for name, test := range map[string]struct{ spec, want string }{
		"no domain":          {`{resources: {cpu: 1, memory: 1Gi, maxMemory: 2Gi}}`, ""},
		"a balloon":          {`{resources: {cpu: 1, memory: 1Gi, maxMemory: 2Gi}, domain: {devices: {memBalloon: {model: virtio}}}}`, ""},
		"none":               {`{resources: {cpu: 1, memory: 1Gi, maxMemory: 2Gi}, domain: {devices: {memBalloon: {model: none}}}}`, "spec.resources.maxMemory: Forbidden: memory grows and shrinks by the balloon, and spec.domain.devices.memBalloon.model is none: leave one of both out"},
		"none, and no need":  {`{resources: {cpu: 1, memory: 1Gi, maxCPU: 2}, domain: {devices: {memBalloon: {model: none}}}}`, ""},
		"a device of hosts":  {`{resources: {cpu: 1, memory: 1Gi, maxMemory: 2Gi, devices: [{name: gpu}]}}`, "spec.resources.maxMemory: Forbidden: host devices write guest memory by themselves"},
		"one of the domain":  {`{resources: {cpu: 1, memory: 1Gi, maxMemory: 2Gi}, domain: {devices: {hostdevs: [{subsysPCI: {}}]}}}`, "spec.resources.maxMemory: Forbidden: host devices"},
		"one of an emulator": {`{resources: {cpu: 1, memory: 1Gi, maxMemory: 2Gi}, domain: {devices: {hostdevs: [{subsysUSB: {}}]}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var spec v1alpha1.VirtualMachineSpec
			if err := yaml.UnmarshalStrict([]byte(test.spec), &spec); err != nil {
				t.Fatal(err)
			}
			errs := checkBalloon(&spec)
			if test.want == "" && len(errs) > 0 || test.want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), test.want)) {
				t.Errorf("errors %v, want %q", errs, test.want)
			}
		})
	}
}
