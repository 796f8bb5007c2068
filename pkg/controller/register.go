// Package controller lists the reconcilers that run beside the scheduler, on
// the leader alone. Each folder beneath it holds one concern; delay and transition
// are what several of them share.
package controller

import (
	"fmt"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/controller/consistency"
	"domus.dev/domus/pkg/controller/diskclaim"
	"domus.dev/domus/pkg/controller/exclusion"
	"domus.dev/domus/pkg/controller/finalizer"
	"domus.dev/domus/pkg/controller/grouping"
	"domus.dev/domus/pkg/controller/growth"
	"domus.dev/domus/pkg/controller/heartbeat"
	"domus.dev/domus/pkg/controller/imagestate"
	"domus.dev/domus/pkg/controller/networking"
	"domus.dev/domus/pkg/controller/operation"
	"domus.dev/domus/pkg/controller/reachability"
	"domus.dev/domus/pkg/controller/release"
	"domus.dev/domus/pkg/controller/resting"
	"domus.dev/domus/pkg/controller/secretgrant"
	"domus.dev/domus/pkg/controller/services"
	"domus.dev/domus/pkg/controller/snapshot"
	"domus.dev/domus/pkg/controller/snapshotschedule"
)

// Register adds every reconciler to m. They read from m's cache and write with
// live, which must not be cached, and statuses of VMs with status. groups says which VMs' groups the scheduler
// places, disks gives VirtualDisks away, and hosts knows what hosts report.
func Register(m manager.Manager, live client.Client, status *vmstatus.Swift, clk clock.PassiveClock, groups grouping.Options, disks diskclaim.Giver, hosts diskclaim.Hosts) error {
	cached := m.GetCache()
	for _, c := range []interface{ Register(manager.Manager) error }{
		release.New(cached, status, clk),
		resting.New(cached, status, clk),
		exclusion.New(cached, status, clk),
		finalizer.New(cached, live),
		growth.New(cached, status, clk),
		grouping.New(cached, status, clk, groups),
		heartbeat.New(cached, live, clk),
		reachability.New(cached, live, status, clk),
		consistency.New(cached, live, clk),
		networking.New(cached, live, clk),
		operation.New(cached, live, clk),
		secretgrant.New(cached, live),
		imagestate.New(cached, live, clk),
		snapshotschedule.New(cached, live, clk),
		diskclaim.New(cached, status, disks, hosts, clk),
		snapshot.New(cached, live, clk),
		services.New(cached, live, clk),
	} {
		if err := c.Register(m); err != nil {
			return fmt.Errorf("registering %T: %w", c, err)
		}
	}
	return nil
}
