package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// fakeLock answers writes with err.
type fakeLock struct {
	resourcelock.Interface
	err error
}

func (l *fakeLock) Identity() string { return "me" }
func (l *fakeLock) Create(context.Context, resourcelock.LeaderElectionRecord) error {
	return l.err
}
func (l *fakeLock) Update(context.Context, resourcelock.LeaderElectionRecord) error {
	return l.err
}

func TestControllersStartWhenTheLeaseIsHeld(t *testing.T) {
	for name, test := range map[string]struct {
		holder string
		err    error
		want   bool
	}{
		"held by this process":    {"me", nil, true},
		"the write was refused":   {"me", errors.New("conflict"), false},
		"released on the way out": {"", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLeadership()
			if err := l.watch(&fakeLock{err: test.err}).Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: test.holder}); !errors.Is(err, test.err) {
				t.Fatal(err)
			}
			started := false
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			r := &leaderRunnable{leadership: l, Runnable: manager.RunnableFunc(func(context.Context) error {
				started = true
				return nil
			})}
			if err := r.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if started != test.want {
				t.Errorf("started %t, want %t", started, test.want)
			}
		})
	}
}
