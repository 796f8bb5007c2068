package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Results is what --out holds.
type Results struct {
	Machine string   `json:"machine"`
	Date    string   `json:"date"`
	Runs    []Result `json:"runs"`
}

// Result compares the two sides for one shape.
type Result struct {
	Nodes     int    `json:"nodes"`
	Workloads int    `json:"workloads"`
	Shape     string `json:"shape"`
	Mode      string `json:"mode"`
	Pairs     int    `json:"pairs"`
	// Medians over the runs, in workloads bound per second from the first to the
	// last binding, and their ratio.
	StockPerSecond float64 `json:"stock_per_second"`
	DomusPerSecond float64 `json:"domus_per_second"`
	Ratio          float64 `json:"ratio"`
	// RatioMin and RatioMax are over the pairs.
	RatioMin float64 `json:"ratio_min"`
	RatioMax float64 `json:"ratio_max"`
	// APIWritesPerVM is all writes after creation, leases left out.
	APIWritesPerVM  float64 `json:"api_writes_per_vm"`
	APIWritesPerPod float64 `json:"api_writes_per_pod"`
	Stock           Side    `json:"stock"`
	Domus           Side    `json:"domus"`
}

// Side is what one side showed; each figure is the median over its runs.
type Side struct {
	PerSecond Spread `json:"per_second"`
	// StartUpSeconds is from the start of the process to the first binding.
	StartUpSeconds float64 `json:"start_up_seconds"`
	// From creation to bound, in milliseconds; missing for a backlog.
	BoundP50Millis float64            `json:"bound_p50_ms,omitempty"`
	BoundP99Millis float64            `json:"bound_p99_ms,omitempty"`
	Writes         map[string]float64 `json:"writes_per_workload"`
	CPUSeconds     Parts              `json:"cpu_seconds"`
	PeakMiB        Parts              `json:"peak_mib"`
}

// Spread is a median with what it lies between.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Parts is a figure for each of the three processes.
type Parts struct {
	Scheduler float64 `json:"scheduler"`
	APIServer float64 `json:"api_server"`
	Etcd      float64 `json:"etcd"`
}

func summarize(o *options, shape string, stock, domus []*sample) Result {
	r := Result{Nodes: o.nodes, Workloads: o.workloads, Shape: shape, Mode: o.mode, Pairs: o.pairs, Stock: sideOf(stock), Domus: sideOf(domus)}
	r.StockPerSecond, r.DomusPerSecond = r.Stock.PerSecond.Median, r.Domus.PerSecond.Median
	r.Ratio = round(r.DomusPerSecond/r.StockPerSecond, 3)
	var ratios []float64
	for i := range stock {
		ratios = append(ratios, domus[i].perSecond/stock[i].perSecond)
	}
	r.RatioMin, r.RatioMax = round(slices.Min(ratios), 3), round(slices.Max(ratios), 3)
	for _, n := range r.Domus.Writes {
		r.APIWritesPerVM += n
	}
	for _, n := range r.Stock.Writes {
		r.APIWritesPerPod += n
	}
	r.APIWritesPerVM, r.APIWritesPerPod = round(r.APIWritesPerVM, 3), round(r.APIWritesPerPod, 3)
	return r
}

func sideOf(samples []*sample) Side {
	over := func(of func(*sample) float64) []float64 {
		var values []float64
		for _, s := range samples {
			values = append(values, of(s))
		}
		slices.Sort(values)
		return values
	}
	mid := func(digits int, of func(*sample) float64) float64 { return round(median(over(of)), digits) }
	speeds := over(func(s *sample) float64 { return s.perSecond })
	out := Side{
		PerSecond:      Spread{Min: round(speeds[0], 1), Median: round(median(speeds), 1), Max: round(speeds[len(speeds)-1], 1)},
		StartUpSeconds: mid(2, func(s *sample) float64 { return s.startUp.Seconds() }),
		Writes:         map[string]float64{},
	}
	parts := func(digits int, of func(*sample) *[3]float64) Parts {
		part := func(i int) float64 { return mid(digits, func(s *sample) float64 { return of(s)[i] }) }
		return Parts{Scheduler: part(0), APIServer: part(1), Etcd: part(2)}
	}
	out.CPUSeconds = parts(2, func(s *sample) *[3]float64 { return &s.cpu })
	out.PeakMiB = parts(0, func(s *sample) *[3]float64 { return &s.peak })
	for _, s := range samples {
		for what := range s.writes {
			out.Writes[what] = mid(3, func(s *sample) float64 { return s.writes[what] })
		}
	}
	if len(samples[0].latencies) > 0 {
		at := func(q float64) func(*sample) float64 {
			return func(s *sample) float64 { return float64(quantile(s.latencies, q)) / float64(time.Millisecond) }
		}
		out.BoundP50Millis, out.BoundP99Millis = mid(1, at(.5)), mid(1, at(.99))
	}
	return out
}

// median is of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func medianOf(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return median(sorted)
}

// quantile is of sorted values, by nearest rank.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// store adds a result to the files, in place of an older one of its kind.
func store(o *options, machine string, r Result) error {
	if o.out == "" {
		return nil
	}
	all, err := load(o.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all.Machine, all.Date = machine, time.Now().UTC().Format(time.DateOnly)
	all.Runs = slices.DeleteFunc(all.Runs, func(old Result) bool {
		return old.Nodes == r.Nodes && old.Workloads == r.Workloads && old.Shape == r.Shape && old.Mode == r.Mode
	})
	all.Runs = append(all.Runs, r)
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.WriteFile(o.out, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if o.markdown == "" {
		return nil
	}
	if err := os.WriteFile(o.markdown, []byte(table(all)), 0o644); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

func load(path string) (Results, error) {
	var all Results
	data, err := os.ReadFile(path)
	if err != nil {
		return all, fmt.Errorf("reading results: %w", err)
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return all, fmt.Errorf("reading results from %s: %w", path, err)
	}
	return all, nil
}

// describeMachine says what the figures were measured on.
func describeMachine() (string, error) {
	model := "unknown CPU"
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", fmt.Errorf("reading what CPU this is: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return "", fmt.Errorf("reading how much memory there is: %w", err)
	}
	memory := float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	return fmt.Sprintf("%d cores of %s, %.0f GiB, %s; schedulers, kube-apiserver and etcd share them", runtime.NumCPU(), model, memory, runtime.Version()), nil
}
