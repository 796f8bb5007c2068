package explain

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestRejections(t *testing.T) {
	lacks := func(node string, share float64, words string) refusal {
		return refusal{node: node, plugin: "HostNUMA", reason: "host(s) lack memory", evictable: true, amount: &amount{share: share, words: words}}
	}
	closed := func(node string) refusal {
		return refusal{node: node, plugin: "TaintToleration", reason: "node(s) had untolerated taint(s)"}
	}
	for name, c := range map[string]struct {
		all   []refusal
		limit int
		want  []v1alpha1.PlacementRejection
	}{
		"none": {limit: 10},
		"the most frequent first, in the words of the nearest host": {
			all:   []refusal{closed("z"), lacks("c", 0.2, "need 10Gi, 2Gi free"), lacks("b", 0.5, "need 10Gi, 5Gi free"), lacks("a", 0.5, "need 10Gi, 5Gi free")},
			limit: 2,
			want: []v1alpha1.PlacementRejection{
				{Plugin: "HostNUMA", Reason: "need 10Gi, 5Gi free; a comes nearest", Hosts: 3, NodeNames: []string{"a", "b"}, Evictable: true},
				{Plugin: "TaintToleration", Reason: "node(s) had untolerated taint(s)", Hosts: 1, NodeNames: []string{"z"}},
			},
		},
		"equally frequent ones by plugin": {
			all:   []refusal{closed("a"), lacks("b", 0, "need 10Gi, 0 free")},
			limit: 10,
			want: []v1alpha1.PlacementRejection{
				{Plugin: "HostNUMA", Reason: "need 10Gi, 0 free", Hosts: 1, NodeNames: []string{"b"}, Evictable: true},
				{Plugin: "TaintToleration", Reason: "node(s) had untolerated taint(s)", Hosts: 1, NodeNames: []string{"a"}},
			},
		},
		"counted without names": {
			all:  []refusal{closed("a"), closed("b")},
			want: []v1alpha1.PlacementRejection{{Plugin: "TaintToleration", Reason: "node(s) had untolerated taint(s)", Hosts: 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, rejections(c.all, c.limit)); diff != "" {
				t.Errorf("rejections (-want +got):\n%s", diff)
			}
		})
	}
}
