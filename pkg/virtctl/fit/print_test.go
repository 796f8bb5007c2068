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

HOST      MORE   LARGEST
sim-001   10     40 CPUs, 80Gi
sim-002   4      -
`,
		},
		"none fits": {
			status: v1alpha1.PlacementReviewStatus{Message: "no more fit", Hosts: 2, Fit: &v1alpha1.PlacementFitStatus{},
				Rejections: []v1alpha1.PlacementRejection{{Plugin: "HostResources", Reason: "need 8Gi of memory, largest free is 2Gi", Hosts: 2, NodeNames: []string{"a", "b"}}}},
			want: `
no more fit

HOSTS   PLUGIN          REASON                                    EXAMPLES
2       HostResources   need 8Gi of memory, largest free is 2Gi   a,b
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := print(&out, &test.status, 3); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
