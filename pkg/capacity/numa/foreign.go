package numa

import (
	"fmt"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// addForeign takes what domains that are not ours have bound to the cell out of
// it. Their memory may be more than the cell has, on a host that gives VMs only
// a share of it: then nothing is left. Their CPUs outside the cell do not matter.
func (c *Cell) addForeign(in *v1alpha1.ForeignUse) error {
	c.foreign = make([]bool, len(c.cpus))
	if in == nil {
		return nil
	}
	if in.Memory < 0 || in.Hugepages2Mi < 0 || in.Hugepages1Gi < 0 {
		return fmt.Errorf("foreign domains cannot use less than nothing: %+v", *in)
	}
	cpus, err := cpuset.Parse(in.CPUs)
	if err != nil {
		return fmt.Errorf("reading foreign cpus %q: %w", in.CPUs, err)
	}
	c.Foreign = cpus.Intersection(c.CPUs)
	for at, cpu := range c.cpus {
		c.foreign[at] = c.Foreign.Contains(cpu)
	}
	c.Memory = max(c.Memory-in.Memory, 0)
	c.Pages2Mi = max(c.Pages2Mi-in.Hugepages2Mi, 0)
	c.Pages1Gi = max(c.Pages1Gi-in.Hugepages1Gi, 0)
	return nil
}
