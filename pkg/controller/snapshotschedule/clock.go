package snapshotschedule

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // hosts without a database of time zones have this one

	"github.com/robfig/cron/v3"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// parser takes the five fields of cron and names such as @daily. @every is left
// out: it counts from when a process was started.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// calendar says when runs are due.
type calendar struct{ schedule cron.Schedule }

// invalid is a field that cannot be understood.
type invalid struct{ reason, message string }

// parse reads the schedule and its time zone.
func parse(spec *v1alpha1.VirtualMachineSnapshotScheduleSpec) (*calendar, *invalid) {
	zone := spec.TimeZone
	if zone == "" {
		zone = "Etc/UTC"
	}
	if zone == "Local" {
		return nil, &invalid{v1alpha1.ReasonInvalidTimeZone, "spec.timeZone: Local is whatever vm-scheduler's host has: name one, such as Europe/Berlin"}
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		return nil, &invalid{v1alpha1.ReasonInvalidTimeZone, fmt.Sprintf("spec.timeZone: %q is no time zone: name one, such as Europe/Berlin", zone)}
	}
	text := strings.TrimSpace(spec.Schedule)
	if strings.Contains(text, "TZ=") || strings.HasPrefix(text, "@every") {
		return nil, &invalid{v1alpha1.ReasonInvalidSchedule, fmt.Sprintf("spec.schedule: %q is to be five fields of cron, such as 0 3 * * *, and the time zone in spec.timeZone", spec.Schedule)}
	}
	schedule, err := parser.Parse(text)
	if err != nil {
		return nil, &invalid{v1alpha1.ReasonInvalidSchedule, fmt.Sprintf("spec.schedule: %v: write five fields of cron, such as 0 3 * * *", err)}
	}
	if s, ok := schedule.(*cron.SpecSchedule); ok {
		s.Location = where
	}
	return &calendar{schedule: schedule}, nil
}

// maxLook bounds how many runs are gone through one by one, as of a schedule of
// each minute that nobody looked at for a week.
const maxLook = 10100

// due is the last run that was due after the time from, at now or before; zero where
// none was.
func (c *calendar) due(from, now time.Time) time.Time {
	// Of a schedule that is due often only the last runs need be gone through.
	if recently := now.Add(-maxLook * time.Minute); from.Before(recently) {
		if last := c.walk(recently, now); !last.IsZero() {
			return last
		}
	}
	return c.walk(from, now)
}

func (c *calendar) walk(from, now time.Time) (last time.Time) {
	for range maxLook + 1 {
		next := c.schedule.Next(from)
		if next.IsZero() || next.After(now) {
			break
		}
		last, from = next, next
	}
	return last
}

// next is when the schedule is due after now; zero where it never is, as on a 30th
// of February.
func (c *calendar) next(now time.Time) time.Time { return c.schedule.Next(now) }
