package explain

import (
	"math"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestShape(t *testing.T) {
	for name, c := range map[string]struct {
		shape     shape
		cpu, want int64
		least     int64
	}{
		"as asked":              {shape{4, 8 * gib, ""}, 4, 8 * gib, 1},
		"in proportion":         {shape{4, 8 * gib, ""}, 3, 6 * gib, 1},
		"rounded down to MiB":   {shape{3, gib, ""}, 1, 341 * mib, 1},
		"odd bytes":             {shape{1, gib + 5, ""}, 1, gib, 1},
		"rounded down to pages": {shape{3, 2 * gib, v1alpha1.PageSize1Gi}, 2, gib, 2},
		"too small for a page":  {shape{8, gib, v1alpha1.PageSize1Gi}, 7, 0, 8},
		"2Mi pages":             {shape{3, 7 * mib, v1alpha1.PageSize2Mi}, 3, 6 * mib, 1},
		"beyond any host":       {shape{1, math.MaxInt64, ""}, 3, math.MaxInt64 / mib * mib, 1},
		"a huge product":        {shape{math.MaxInt32, 1 << 50, ""}, math.MaxInt32, 1 << 50, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.shape.memoryFor(c.cpu); got != c.want {
				t.Errorf("%d vCPUs have %d bytes, want %d", c.cpu, got, c.want)
			}
			if got := c.shape.least(); got != c.least {
				t.Errorf("the least is %d vCPUs, want %d", got, c.least)
			}
			if c.shape.memoryFor(c.shape.least()) == 0 || c.shape.least() > 1 && c.shape.memoryFor(c.shape.least()-1) > 0 {
				t.Error("the least is not the first that has memory")
			}
		})
	}
}
