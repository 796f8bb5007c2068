package fit

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

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

const (
	// maxCPU is the most vCPUs that a VM can ask for, maxDevices the most devices of
	// a name.
	maxCPU     = 4096
	maxDevices = 64
)

// What the API takes.
var (
	pageSizes      = complete.ChoicesOf(v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi)
	numaPolicies   = complete.ChoicesOf(v1alpha1.NUMANone, v1alpha1.NUMASingleCell, v1alpha1.NUMARestricted, v1alpha1.NUMASpread)
	cpuPolicies    = complete.ChoicesOf(v1alpha1.CPUShared, v1alpha1.CPUDedicated)
	threadPolicies = complete.ChoicesOf(v1alpha1.ThreadsTogether, v1alpha1.ThreadsApart)
	deviceName     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$`)
)

func (s *shape) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Int32Var(&s.cpu, "cpu", 0, "Number of vCPUs.")
	flags.StringVar(&s.memory, "memory", "", "Memory, such as 8Gi.")
	flags.StringVar(&s.hugepages, "hugepages", "", fmt.Sprintf("Size of hugepages to put the memory into: %s. Default: none.", pageSizes))
	flags.StringVar(&s.numa, "numa", "", fmt.Sprintf("NUMA policy: %s. Default: %s.", numaPolicies, v1alpha1.NUMANone))
	flags.StringVar(&s.cpuPolicy, "cpu-policy", "", fmt.Sprintf("CPU policy: %s. Default: %s.", cpuPolicies, v1alpha1.CPUShared))
	flags.StringVar(&s.threads, "threads", "", fmt.Sprintf("Hardware threads of dedicated CPUs: %s. Default: %s.", threadPolicies, v1alpha1.ThreadsTogether))
	flags.StringToIntVar(&s.devices, "device", nil, "Host devices, as NAME=COUNT; may be repeated.")
	flags.StringVar(&s.scheduler, "scheduler", "", "Profile of vm-scheduler that places the VMs. Default: "+v1alpha1.DefaultSchedulerName+".")
	flags.StringToStringVar(&s.nodeSelector, "node-selector", nil, "Labels that the hosts must have, as KEY=VALUE; may be repeated.")
	pageSizes.Complete(cmd, "hugepages")
	numaPolicies.Complete(cmd, "numa")
	cpuPolicies.Complete(cmd, "cpu-policy")
	threadPolicies.Complete(cmd, "threads")
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

// check refuses what the API would not take. What the values mean together is
// checked by the API server.
func (s *shape) check() error {
	errs := []error{
		pageSizes.Check("hugepages", s.hugepages), numaPolicies.Check("numa", s.numa),
		cpuPolicies.Check("cpu-policy", s.cpuPolicy), threadPolicies.Check("threads", s.threads),
	}
	for _, key := range slices.Sorted(maps.Keys(s.nodeSelector)) {
		value := s.nodeSelector[key]
		if wrong := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(wrong) > 0 {
			errs = append(errs, failure.Usage("--node-selector=%s=%s: is no label: %s", key, value, strings.Join(wrong, "; ")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.devices)) {
		count := s.devices[name]
		if !deviceName.MatchString(name) {
			errs = append(errs, failure.Usage("--device=%s=%d: %q is no name of devices, which has small letters, digits, - and ., and at most 63: see status.devices of `kubectl get hypervisors -o yaml`", name, count, name))
		}
		if count < 1 || count > maxDevices {
			errs = append(errs, failure.Usage("--device=%s=%d: a count must be from 1 to %d", name, count, maxDevices))
		}
	}
	return errors.Join(errs...)
}

// template makes the VM.
func (s *shape) template() (*v1alpha1.VirtualMachineTemplate, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
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
		spec.Resources.Devices = append(spec.Resources.Devices, v1alpha1.DeviceRequest{Name: name, Count: int32(s.devices[name])})
	}
	return &v1alpha1.VirtualMachineTemplate{Spec: spec}, nil
}
