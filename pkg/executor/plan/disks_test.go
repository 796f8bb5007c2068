package plan

import (
	"testing"

	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/snapshots"
	"domus.dev/domus/pkg/libvirt"
)

// A guest that runs is asked for its disks too before it goes back to its memory: a
// medium in its drive would be taken for one that it cannot have.
func TestWhoNeedsDisks(t *testing.T) {
	runs, off := &ownership.Observed{}, &ownership.Observed{}
	runs.State, off.State = libvirt.StateRunning, libvirt.StateShutOff
	for name, test := range map[string]struct {
		in   Situation
		want bool
	}{
		"no guest":                            {Situation{}, true},
		"one that is off":                     {Situation{Domain: off}, true},
		"one that runs":                       {Situation{Domain: runs}, false},
		"one that runs, to go back to memory": {Situation{Domain: runs, Restore: &snapshots.Restoration{Memory: true}}, true},
		"one that runs, to go back to disks":  {Situation{Domain: runs, Restore: &snapshots.Restoration{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := NeedsDisks(test.in); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
