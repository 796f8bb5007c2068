package placement

import (
	"bytes"
	"io"
	"testing"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		args []string
		// asked of the review; examples are named for a reason, and listed are
		// the hosts of a list of two that people see.
		asked            int32
		examples, listed int
	}{
		{nil, 10, 3, 2},
		{[]string{"--limit=1"}, 1, 1, 2},
		{[]string{"--limit=0"}, 3, 3, 0},
		{[]string{"--limit=0", "-o", "json"}, 0, 3, 2},
	} {
		o, cmd := &Output{}, &cobra.Command{}
		o.AddFlags(cmd)
		if err := cmd.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		if err := o.Check(); err != nil || o.asked() != test.asked || o.Examples(cmd) != test.examples {
			t.Errorf("%v: %v, asked %d and shown %d, want %d and %d", test.args, err, o.asked(), o.Examples(cmd), test.asked, test.examples)
		}
		status := &v1alpha1.PlacementReviewStatus{
			Candidates: []v1alpha1.PlacementCandidate{{NodeName: "a"}, {NodeName: "b"}},
			Fit:        &v1alpha1.PlacementFitStatus{Count: 9, Hosts: []v1alpha1.PlacementHostFit{{NodeName: "a"}, {NodeName: "b"}}},
		}
		listed := 2 // JSON is not for people
		if err := o.Print(&bytes.Buffer{}, status, func(_ io.Writer, s *v1alpha1.PlacementReviewStatus) error {
			listed = len(s.Candidates)
			if len(s.Fit.Hosts) != listed || s.Fit.Count != 9 {
				t.Errorf("%v: fit is %+v", test.args, s.Fit)
			}
			return nil
		}); err != nil || listed != test.listed || len(status.Candidates) != 2 {
			t.Errorf("%v: %v, %d listed, want %d", test.args, err, listed, test.listed)
		}
	}
	for _, limit := range []int32{-1, 5001} {
		if code := failure.CodeOf((&Output{Limit: limit}).Check()); code != failure.Misused {
			t.Errorf("limit %d: code %d", limit, code)
		}
	}
}
