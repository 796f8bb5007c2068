package fit

import (
	"fmt"
	"io"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/placement"
)

// print writes the answer for people; its message names the largest that fits.
// shown is how many hosts are named for a reason.
func print(out io.Writer, status *v1alpha1.PlacementReviewStatus, shown int) error {
	if _, err := fmt.Fprintln(out, status.Message); err != nil {
		return err
	}
	var rows [][]string
	for _, h := range ptr.Deref(status.Fit, v1alpha1.PlacementFitStatus{}).Hosts {
		rows = append(rows, []string{h.NodeName, strconv.FormatInt(h.Count, 10), size(h.Largest)})
	}
	if err := placement.Table(out, []string{"HOST", "MORE", "LARGEST"}, rows); err != nil {
		return err
	}
	return placement.Rejections(out, status.Rejections, shown)
}

func size(s *v1alpha1.PlacementSize) string {
	if s == nil {
		return "-"
	}
	unit := "CPUs"
	if s.CPU == 1 {
		unit = "CPU"
	}
	return fmt.Sprintf("%d %s, %s", s.CPU, unit, resource.NewQuantity(s.Memory, resource.BinarySI))
}
