package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// How workloads come.
const (
	modeBacklog = "backlog"
	modeBurst   = "burst"
	modeSteady  = "steady"
)

// A profile is taken this long, beginning when this share has been bound.
const (
	profileSeconds = 4
	profileFrom    = .3
)

// sample is what one run of one side has shown.
type sample struct {
	perSecond float64
	// startUp is from the scheduler's start to the first binding.
	startUp time.Duration
	// latencies are from creation to bound, sorted; none for a backlog.
	latencies []time.Duration
	writes    map[string]float64
	cpu       [3]float64 // seconds of scheduler, API server, etcd
	peak      [3]float64 // MiB of the same
}

// run measures every shape and writes the results as they come.
func run(ctx context.Context, o *options, out io.Writer) error {
	for _, name := range o.shapes {
		if _, ok := shapes[name]; !ok {
			return fmt.Errorf("--shapes: there is no shape %q: choose of %v", name, shapeNames())
		}
	}
	if !slices.Contains([]string{modeBacklog, modeBurst, modeSteady}, o.mode) {
		return fmt.Errorf("--mode %q: give backlog, burst or steady", o.mode)
	}
	sides := []side{stock, domus}
	if o.only != "" {
		if sides = []side{side(o.only)}; o.only != string(stock) && o.only != string(domus) {
			return fmt.Errorf("--only %q: give stock or domus", o.only)
		}
	}
	machine, err := describeMachine()
	if err != nil {
		return err
	}
	for _, name := range o.shapes {
		samples := map[side][]*sample{}
		for pair := range o.pairs {
			order := slices.Clone(sides)
			if pair%2 == 1 {
				slices.Reverse(order)
			}
			err := runPair(ctx, o, order, name, func(s side, measured *sample) {
				samples[s] = append(samples[s], measured)
				_, _ = fmt.Fprintf(out, "%s pair %d %s: %s\n", name, pair+1, s, measured)
			})
			if err != nil {
				return fmt.Errorf("%s, pair %d: %w", name, pair+1, err)
			}
		}
		if len(sides) < 2 {
			continue
		}
		result := summarize(o, name, samples[stock], samples[domus])
		_, _ = fmt.Fprintf(out, "%s: stock %.0f/s, domus %.0f/s, ratio %.2f (%.2f to %.2f)\n\n", name, result.StockPerSecond, result.DomusPerSecond, result.Ratio, result.RatioMin, result.RatioMax)
		if err := store(o, machine, result); err != nil {
			return err
		}
	}
	return nil
}

// runPair measures sides in this order on one control plane. The next pair has
// its own: for a while an API server keeps in its memory what a run has deleted,
// and all that comes after it is the slower for it.
func runPair(ctx context.Context, o *options, order []side, shapeName string, done func(side, *sample)) (err error) {
	p, err := startPlane(ctx, o.assets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.createHosts(ctx, o.nodes); err != nil {
		return err
	}
	if o.bound > 0 {
		if err := p.occupy(ctx, o.bound, o.nodes); err != nil {
			return err
		}
	}
	for _, s := range order {
		measured, err := p.measure(ctx, o, s, shapeName)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		done(s, measured)
	}
	return nil
}

func (s *sample) String() string {
	text := fmt.Sprintf("%.0f/s, first after %s, CPU scheduler %.1f s API server %.1f s etcd %.1f s, peak %.0f %.0f %.0f MiB, writes %v",
		s.perSecond, s.startUp.Round(time.Millisecond), s.cpu[0], s.cpu[1], s.cpu[2], s.peak[0], s.peak[1], s.peak[2], s.writes)
	if len(s.latencies) > 0 {
		text += fmt.Sprintf(", created to bound p50 %s p99 %s", quantile(s.latencies, .5), quantile(s.latencies, .99))
	}
	return text
}

// measure runs one side once, and leaves the cluster without workloads.
func (p *plane) measure(ctx context.Context, o *options, s side, shapeName string) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	sh := shapes[shapeName]
	n := o.workloads
	if sh.fill {
		// One evicts one.
		n = min(n, o.nodes/2)
		if err := p.fill(ctx, s, &sh, o.nodes); err != nil {
			return nil, err
		}
	}
	var created []time.Time
	if o.mode == modeBacklog {
		if _, err := p.createAll(ctx, s, &sh, n); err != nil {
			return nil, err
		}
	}
	var leave func(string, int64)
	if sh.fill {
		leave = p.leave(ctx, s, &sh)
	}
	seen, err := p.observe(ctx, s, sh.expected(n), leave)
	if err != nil {
		return nil, err
	}
	defer seen.stop()
	before, err := p.countWrites(ctx)
	if err != nil {
		return nil, err
	}
	cpuBefore, err := p.cpu(nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.api.forgetPeak(), p.etcd.forgetPeak()); err != nil {
		return nil, err
	}
	sched, err := p.startScheduler(o, s)
	if err != nil {
		return nil, err
	}
	defer sched.stop()

	g, gctx := errgroup.WithContext(ctx)
	if o.mode != modeBacklog {
		if err := sched.ready(ctx, p); err != nil {
			return nil, err
		}
		g.Go(func() (err error) {
			if o.mode == modeSteady {
				created, err = p.createSteadily(gctx, s, &sh, n, o.rate)
			} else {
				created, err = p.createAll(gctx, s, &sh, n)
			}
			return err
		})
	}
	if o.profile != "" {
		g.Go(func() error {
			if err := seen.part(gctx, profileFrom); err != nil {
				return err
			}
			return p.profile(gctx, sched, filepath.Join(o.profile, shapeName+"-"+string(s)), profileSeconds)
		})
	}
	select {
	case <-seen.done:
	case <-sched.ended:
		return nil, sched.failure()
	case <-ctx.Done():
		return nil, fmt.Errorf("of %d workloads %d were bound: %w", seen.want, len(seen.times()), ctx.Err())
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// What was under way, events above all, belongs to the run.
	time.Sleep(time.Second)
	out := &sample{}
	after, err := p.countWrites(ctx)
	if err != nil {
		return nil, err
	}
	out.writes = after.since(before).perWorkload(n)
	cpuAfter, err := p.cpu(sched)
	if err != nil {
		return nil, err
	}
	for i := range cpuAfter {
		out.cpu[i] = cpuAfter[i] - cpuBefore[i]
	}
	for i, proc := range []*process{&sched.process, p.api, p.etcd} {
		if out.peak[i], err = proc.peakMiB(); err != nil {
			return nil, err
		}
	}
	out.times(seen.times(), created, sched.started, sh.fill)
	sched.stop()
	seen.stop()
	return out, p.clean(ctx)
}

// times fills in what follows from when workloads were bound. Where others have
// to leave first, that is part of it.
func (s *sample) times(bound map[string]time.Time, created []time.Time, started time.Time, evicting bool) {
	var first, last time.Time
	for _, at := range bound {
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	s.startUp = first.Sub(started)
	if evicting {
		s.perSecond = float64(len(bound)) / last.Sub(started).Seconds()
	} else if span := last.Sub(first); span > 0 {
		s.perSecond = float64(len(bound)-1) / span.Seconds()
	}
	for i, at := range created {
		if b, ok := bound[name(i, false)]; ok {
			s.latencies = append(s.latencies, b.Sub(at))
		}
	}
	slices.Sort(s.latencies)
}

// cpu is the seconds that scheduler, API server and etcd have used so far.
func (p *plane) cpu(s *scheduler) (out [3]float64, err error) {
	procs := []*process{nil, p.api, p.etcd}
	if s != nil {
		procs[0] = &s.process
	}
	for i, proc := range procs {
		if proc == nil {
			continue
		}
		if out[i], err = proc.cpuSeconds(); err != nil {
			return out, err
		}
	}
	return out, nil
}
