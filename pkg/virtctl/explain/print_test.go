package explain

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestPrint(t *testing.T) {
	rejections := []v1alpha1.PlacementRejection{
		{Plugin: "HostResources", Reason: "need 8Gi of memory, largest free is 2Gi", Hosts: 4, NodeNames: []string{"a", "b", "c", "d"}, Evictable: true},
		{Plugin: "NodeAffinity", Reason: "does not match its nodeSelector", Hosts: 1, NodeNames: []string{"e"}},
	}
	candidates := []v1alpha1.PlacementCandidate{
		{NodeName: "sim-1", Score: 150, Plugins: []v1alpha1.PluginScore{{Name: "HostNUMA", Score: 50}, {Name: "HostResources", Score: 100}}},
		{NodeName: "sim-002", Score: 20, Plugins: []v1alpha1.PluginScore{{Name: "HostResources", Score: 20}}},
	}
	for name, test := range map[string]struct {
		status v1alpha1.PlacementReviewStatus
		shown  int
		want   string
	}{
		"fits nowhere": {
			status: v1alpha1.PlacementReviewStatus{
				Message: "fits on none of 5 hosts", Hosts: 5, Rejections: rejections,
				Changes: []string{"16Gi of memory free on a", "a host with the label x=y"},
			},
			shown: 3,
			want: `
virtualmachine/vm fits on none of 5 hosts

HOSTS   PLUGIN          REASON                                                               EXAMPLES
4       HostResources   need 8Gi of memory, largest free is 2Gi (eviction could make room)   a,b,c,...
1       NodeAffinity    does not match its nodeSelector                                      e

What would have to change:
- 16Gi of memory free on a
- a host with the label x=y
`,
		},
		"fits": {
			status: v1alpha1.PlacementReviewStatus{Message: "fits on 4 of 5 hosts", Hosts: 5, Feasible: 4, Rejections: rejections[1:], Candidates: candidates},
			shown:  3,
			want: `
virtualmachine/vm fits on 4 of 5 hosts

HOSTS   PLUGIN         REASON                            EXAMPLES
1       NodeAffinity   does not match its nodeSelector   e

HOST      SCORE   HostNUMA   HostResources
sim-1     150     50         100
sim-002   20                 20
(2 more hosts fit: --limit shows more)
`,
		},
		"all names that were asked for": {
			status: v1alpha1.PlacementReviewStatus{Message: "fits on none of 4 hosts", Hosts: 4, Rejections: rejections[:1]},
			shown:  10,
			want: `
virtualmachine/vm fits on none of 4 hosts

HOSTS   PLUGIN          REASON                                                               EXAMPLES
4       HostResources   need 8Gi of memory, largest free is 2Gi (eviction could make room)   a,b,c,d
`,
		},
		"names that nobody asked for": {
			status: v1alpha1.PlacementReviewStatus{Message: "fits on 4 of 4 hosts", Hosts: 4, Feasible: 4},
			want:   "\nvirtualmachine/vm fits on 4 of 4 hosts\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := print(&out, "vm", &test.status, test.shown); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
