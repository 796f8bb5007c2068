package plan

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/libvirt"
)

func TestAHostThatLacksWhatItWasToGiveIsUnfit(t *testing.T) {
	refused := fmt.Errorf("NUMA node 1 is unavailable: %w", libvirt.ErrInvalidDomain)
	for name, test := range map[string]struct {
		judge func(error, int, bool) (*Rejection, *Failure)
		ran   bool
		want  *Rejection
	}{
		"no cells were given: the domain is wrong": {StartFailure, false, Invalid("libvirt cannot start the domain: %v", refused)},
		"cells were given: the host lacks them":    {BoundStartFailure, false, Unfit("the host cannot give it the cells or devices it was placed on: %v", refused)},
		"it has run here: it is tried again":       {BoundStartFailure, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, failure := test.judge(refused, 1, test.ran)
			if diff := cmp.Diff(test.want, got); diff != "" || (failure == nil) == (test.want == nil) {
				t.Errorf("failure %v, rejection (-want +got):\n%s", failure, diff)
			}
		})
	}
}
