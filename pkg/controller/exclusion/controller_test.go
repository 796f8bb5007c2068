package exclusion

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestRemaining(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	until := func(node string, d time.Duration) v1alpha1.HostExclusion {
		return v1alpha1.HostExclusion{NodeName: node, Until: metav1.NewTime(now.Add(d))}
	}
	for name, test := range map[string]struct {
		hosts, left []v1alpha1.HostExclusion
		next        time.Duration
	}{
		"none":         {nil, nil, 0},
		"all are over": {[]v1alpha1.HostExclusion{until("a", 0), until("b", -time.Second)}, nil, 0},
		"the next is soonest": {[]v1alpha1.HostExclusion{until("a", time.Hour), until("b", -1), until("c", time.Minute)},
			[]v1alpha1.HostExclusion{until("a", time.Hour), until("c", time.Minute)}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			left, next := remaining(test.hosts, now)
			if diff := cmp.Diff(test.left, left); diff != "" || next != test.next {
				t.Errorf("next in %s, want %s; left (-want +got):\n%s", next, test.next, diff)
			}
		})
	}
}
