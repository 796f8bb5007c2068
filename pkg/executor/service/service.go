// Package service tells systemd how vm-executor is, where systemd has started it. In
// any other place it does nothing.
package service

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"k8s.io/klog/v2"
)

// glance lies between two looks whether the service is ready.
const glance = 500 * time.Millisecond

// Watched is what is told of.
type Watched interface {
	// Pending says in words what is being waited for before the service has started;
	// "" when it has. It is asked for good once it was "".
	Pending() string
	// Alive returns when the process works on: one that hangs does not return, and is
	// killed by the watchdog.
	Alive()
}

// Tell has systemd know what is happening, as systemctl status shows it.
func Tell(ctx context.Context, what string) { send(ctx, "STATUS="+what) }

// Run tells until ctx ends.
func Run(ctx context.Context, w Watched) {
	if !starting(ctx, w) {
		return
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		klog.FromContext(ctx).Error(err, "systemd's watchdog is not told that the process lives")
	}
	if every > 0 {
		beat := time.NewTicker(every / 3)
		defer beat.Stop()
		for running := true; running; {
			select {
			case <-ctx.Done():
				running = false
			case <-beat.C:
				w.Alive()
				send(ctx, daemon.SdNotifyWatchdog)
			}
		}
	}
	<-ctx.Done()
	send(ctx, daemon.SdNotifyStopping)
}

// starting waits until the service has started, and says so; false when ctx ended.
func starting(ctx context.Context, w Watched) bool {
	last := ""
	for {
		what := w.Pending()
		if what == "" {
			send(ctx, daemon.SdNotifyReady+"\nSTATUS=Looking after its guests")
			return true
		}
		if what != last {
			Tell(ctx, what)
			last = what
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(glance):
		}
	}
}

func send(ctx context.Context, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		klog.FromContext(ctx).Error(err, "systemd could not be told", "state", state)
	}
}
