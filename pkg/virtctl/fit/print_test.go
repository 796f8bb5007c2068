package fit

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestPrint(t *testing.T) {
	const gib = int64(1) << 30
	for name, test := range map[string]struct {
		status v1alpha1.PlacementReviewStatus
		want   string
	}{
		"some fit": {
			status: v1alpha1.PlacementReviewStatus{Message: "14 more fit", Fit: &v1alpha1.PlacementFitStatus{
				Count: 14, Largest: &v1alpha1.PlacementSize{CPU: 40, Memory: 80 * gib},
				Hosts: []v1alpha1.PlacementHostFit{
					{NodeName: "sim-001", Count: 10, Largest: &v1alpha1.PlacementSize{CPU: 40, Memory: 80 * gib}},
					{NodeName: "sim-002", Count: 4},
				},
			}},
			want: `
14 more fit
The largest of this shape that fits on a host now: 40 CPUs, 80Gi.

HOST      MORE   LARGEST
sim-001   10     40 CPUs, 80Gi
sim-002   4      -
`,
		},
		"none fits, a smaller one would": {
			status: v1alpha1.PlacementReviewStatus{Message: "none fits", Fit: &v1alpha1.PlacementFitStatus{Largest: &v1alpha1.PlacementSize{CPU: 1, Memory: 512 << 20}}},
			want:   "\nnone fits\nThe largest of this shape that fits on a host now: 1 CPU, 512Mi.\n",
		},
		"nothing fits": {
			status: v1alpha1.PlacementReviewStatus{Message: "none fits", Fit: &v1alpha1.PlacementFitStatus{}},
			want:   "\nnone fits\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := print(&out, &test.status); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
