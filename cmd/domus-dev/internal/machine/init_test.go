package machine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPausesBeforeLibvirtdIsStartedAgain(t *testing.T) {
	tests := map[string]struct {
		ran  []time.Duration
		want []time.Duration
	}{
		"one that keeps failing is tried ever more rarely, up to a limit": {
			ran:  []time.Duration{0, 0, 0, 0},
			want: []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 2 * time.Second},
		},
		"one that ran well is started again soon": {
			ran:  []time.Duration{0, 0, time.Minute, 0},
			want: []time.Duration{500 * time.Millisecond, time.Second, 500 * time.Millisecond, time.Second},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := &daemon{pause: firstPause}
			now := time.Unix(0, 0)
			var got []time.Duration
			for _, ran := range tc.ran {
				d.pid, d.started = 7, now
				now = now.Add(ran)
				got = append(got, d.ended(now))
				if d.pid != 0 {
					t.Fatal("it is still taken to run")
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
