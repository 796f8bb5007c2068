package fit

import (
	"fmt"
	"io"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/placement"
)

// print writes the answer for people.
func print(out io.Writer, status *v1alpha1.PlacementReviewStatus) error {
	if _, err := fmt.Fprintln(out, status.Message); err != nil {
		return err
	}
	if status.Fit == nil {
		return nil
	}
	if status.Fit.Largest != nil {
		if _, err := fmt.Fprintf(out, "The largest of this shape that fits on a host now: %s.\n", size(status.Fit.Largest)); err != nil {
			return err
		}
	}
	var rows [][]string
	for _, h := range status.Fit.Hosts {
		rows = append(rows, []string{h.NodeName, strconv.FormatInt(h.Count, 10), size(h.Largest)})
	}
	return placement.Table(out, []string{"HOST", "MORE", "LARGEST"}, rows)
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
