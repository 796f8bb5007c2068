package fit

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
)

// shape is a VM as flags say it.
type shape struct {
	cpu                                 int32
	memory                              string
	hugepages, numa, cpuPolicy, threads string
	scheduler                           string
	nodeSelector                        map[string]string
	devices                             map[string]int
}

// shapeFlags are the names of the flags that make a shape.
var shapeFlags = []string{"cpu", "memory", "hugepages", "numa", "cpu-policy", "threads", "device", "scheduler", "node-selector"}

// maxCPU is the most vCPUs that a VM can ask for.
const maxCPU = 4096

func (s *shape) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Int32Var(&s.cpu, "cpu", 0, "Number of vCPUs.")
	flags.StringVar(&s.memory, "memory", "", "Memory, such as 8Gi.")
	flags.StringVar(&s.hugepages, "hugepages", "", "Size of hugepages to put the memory into: 2Mi or 1Gi. Default: none.")
	flags.StringVar(&s.numa, "numa", "", "NUMA policy: none, single-cell, restricted or spread. Default: none.")
	flags.StringVar(&s.cpuPolicy, "cpu-policy", "", "CPU policy: shared or dedicated. Default: shared.")
	flags.StringVar(&s.threads, "threads", "", "Hardware threads of dedicated CPUs: together or apart. Default: together.")
	flags.StringToIntVar(&s.devices, "device", nil, "Host devices, as NAME=COUNT; may be repeated.")
	flags.StringVar(&s.scheduler, "scheduler", "", "Profile of vm-scheduler that places the VMs. Default: "+v1alpha1.DefaultSchedulerName+".")
	flags.StringToStringVar(&s.nodeSelector, "node-selector", nil, "Labels that the hosts must have, as KEY=VALUE; may be repeated.")
	complete.Flag(cmd, "hugepages", string(v1alpha1.PageSize2Mi), string(v1alpha1.PageSize1Gi))
	complete.Flag(cmd, "numa", string(v1alpha1.NUMANone), string(v1alpha1.NUMASingleCell), string(v1alpha1.NUMARestricted), string(v1alpha1.NUMASpread))
	complete.Flag(cmd, "cpu-policy", string(v1alpha1.CPUShared), string(v1alpha1.CPUDedicated))
	complete.Flag(cmd, "threads", string(v1alpha1.ThreadsTogether), string(v1alpha1.ThreadsApart))
	complete.Flag(cmd, "scheduler", v1alpha1.DefaultSchedulerName, "vm-packing")
}

// given returns those of the shape's flags that the user gave.
func given(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains(shapeFlags, f.Name) {
			names = append(names, "--"+f.Name)
		}
	})
	return names
}

func mixed(flags []string) error {
	return failure.Usage("%s shapes a VM, and another VM is given by name or file: leave one of them out", strings.Join(flags, ", "))
}

// template makes the VM. What the values mean is checked by the API server.
func (s *shape) template() (*v1alpha1.VirtualMachineTemplate, error) {
	if s.cpu == 0 || s.memory == "" {
		return nil, failure.Usage("say what is to fit: the name of a VM, a file with --filename, or both --cpu and --memory")
	}
	if s.cpu < 1 || s.cpu > maxCPU {
		return nil, failure.Usage("--cpu=%d: must be a whole number from 1 to %d", s.cpu, maxCPU)
	}
	memory, err := resource.ParseQuantity(s.memory)
	if err != nil {
		return nil, failure.Usage("--memory=%s: %w: write it like 8Gi", s.memory, err)
	}
	if memory.Sign() <= 0 {
		return nil, failure.Usage("--memory=%s: must be more than 0: write it like 8Gi", s.memory)
	}
	spec := v1alpha1.VirtualMachineSpec{
		SchedulerName: s.scheduler,
		NodeSelector:  s.nodeSelector,
		Resources: v1alpha1.VirtualMachineResources{
			CPU: s.cpu, Memory: memory,
			NUMA: v1alpha1.NUMAPolicy(s.numa), CPUPolicy: v1alpha1.CPUPolicy(s.cpuPolicy), Threads: v1alpha1.ThreadPolicy(s.threads),
		},
	}
	if s.hugepages != "" {
		spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize(s.hugepages)}
	}
	for _, name := range slices.Sorted(maps.Keys(s.devices)) {
		count := s.devices[name]
		if count < 1 || count > math.MaxInt32 {
			return nil, failure.Usage("--device=%s=%d: a count must be from 1 to %d", name, count, math.MaxInt32)
		}
		spec.Resources.Devices = append(spec.Resources.Devices, v1alpha1.DeviceRequest{Name: name, Count: int32(count)})
	}
	return &v1alpha1.VirtualMachineTemplate{Spec: spec}, nil
}
