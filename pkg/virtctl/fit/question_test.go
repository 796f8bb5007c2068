package fit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/placement"
)

const document = "{apiVersion: domus.dev/v1alpha1, kind: VirtualMachine, metadata: {name: vm, namespace: other}, spec: {resources: {cpu: 3, memory: 1Gi}}}"

// asked is what a command line asks.
func asked(args ...string) (placement.Question, error) {
	subject, s := &placement.Subject{}, &shape{}
	var q placement.Question
	cmd := &cobra.Command{Use: "fit", SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, names []string) (err error) {
		q, err = question(cmd, names, subject, s, strings.NewReader(document), cluster.Namespace{Name: "ns"})
		return err
	}}
	subject.AddFlags(cmd)
	s.addFlags(cmd)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return q, err
}

func TestQuestion(t *testing.T) {
	for name, test := range map[string]struct {
		args      []string
		want      v1alpha1.PlacementReviewSpec
		namespace string
	}{
		"a VM": {[]string{"vm"}, v1alpha1.PlacementReviewSpec{VirtualMachineName: "vm"}, "ns"},
		"a file": {
			[]string{"-f", "-"},
			v1alpha1.PlacementReviewSpec{Template: &v1alpha1.VirtualMachineTemplate{Spec: v1alpha1.VirtualMachineSpec{
				Resources: v1alpha1.VirtualMachineResources{CPU: 3, Memory: resource.MustParse("1Gi")},
			}}}, "other",
		},
		"a plain shape": {
			[]string{"--cpu", "4", "--memory", "8Gi"},
			v1alpha1.PlacementReviewSpec{Template: &v1alpha1.VirtualMachineTemplate{Spec: v1alpha1.VirtualMachineSpec{
				Resources: v1alpha1.VirtualMachineResources{CPU: 4, Memory: resource.MustParse("8Gi")},
			}}}, "ns",
		},
		"a shape with everything": {
			[]string{
				"--cpu=4", "--memory=8Gi", "--hugepages=1Gi", "--numa=single-cell", "--cpu-policy=dedicated", "--threads=apart",
				"--device=vf=2", "--device=gpu=1", "--scheduler=vm-packing", "--node-selector=a=b,c=d",
			},
			v1alpha1.PlacementReviewSpec{Template: &v1alpha1.VirtualMachineTemplate{Spec: v1alpha1.VirtualMachineSpec{
				SchedulerName: "vm-packing", NodeSelector: map[string]string{"a": "b", "c": "d"},
				Resources: v1alpha1.VirtualMachineResources{
					CPU: 4, Memory: resource.MustParse("8Gi"), Hugepages: &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi},
					NUMA: v1alpha1.NUMASingleCell, CPUPolicy: v1alpha1.CPUDedicated, Threads: v1alpha1.ThreadsApart,
					Devices: []v1alpha1.DeviceRequest{{Name: "gpu", Count: 1}, {Name: "vf", Count: 2}},
				},
			}}}, "ns",
		},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := asked(test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, q.Spec); diff != "" {
				t.Error(diff)
			}
			if q.Namespace != test.namespace {
				t.Errorf("asked in namespace %q, want %q", q.Namespace, test.namespace)
			}
		})
	}
}

func TestQuestionsThatAreNone(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                   {nil, "both --cpu and --memory"},
		"no memory":                 {[]string{"--cpu=4"}, "both --cpu and --memory"},
		"fewer CPUs than none":      {[]string{"--cpu=-3", "--memory=8Gi"}, "--cpu=-3: must be a whole number from 1 to 4096"},
		"more CPUs than any VM has": {[]string{"--cpu=5000", "--memory=8Gi"}, "--cpu=5000: must be"},
		"less memory than none":     {[]string{"--cpu=4", "--memory=-8Gi"}, "--memory=-8Gi: must be more than 0"},
		"memory that is none":       {[]string{"--cpu=4", "--memory=8Gx"}, "--memory=8Gx"},
		"no devices":                {[]string{"--cpu=4", "--memory=8Gi", "--device=gpu=0"}, "--device=gpu=0"},
		"a VM and a shape":          {[]string{"vm", "--cpu=4", "--numa=none"}, "--cpu, --numa shapes a VM"},
		"a VM and a file":           {[]string{"vm", "-f", "-"}, "not both"},
		"a file that is not there":  {[]string{"-f", "/does/not/exist.yaml"}, "/does/not/exist.yaml"},
		"a selector that is no map": {[]string{"--cpu=4", "--memory=8Gi", "--node-selector=a"}, "--node-selector"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := asked(test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
