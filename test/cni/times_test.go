package cni

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"domus.dev/domus/pkg/executor/cni"
)

// stopwatch is a log that keeps how long each step took. Only what the manager calls
// for its steps is there.
type stopwatch struct {
	mu    sync.Mutex
	order []string
	took  map[string][]time.Duration
}

var _ logr.LogSink = &stopwatch{}

func (*stopwatch) Init(logr.RuntimeInfo)            {}
func (*stopwatch) Enabled(int) bool                 { return true }
func (*stopwatch) Error(error, string, ...any)      {}
func (s *stopwatch) WithValues(...any) logr.LogSink { return s }
func (s *stopwatch) WithName(string) logr.LogSink   { return s }
func (s *stopwatch) Info(_ int, _ string, values ...any) {
	said := map[string]any{}
	for i := 0; i+1 < len(values); i += 2 {
		if key, is := values[i].(string); is {
			said[key] = values[i+1]
		}
	}
	if took, is := said["took"].(time.Duration); is && said["err"] == nil {
		s.note(fmt.Sprint(said["step"]), took)
	}
}

func (s *stopwatch) note(step string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.took == nil {
		s.took = map[string][]time.Duration{}
	}
	if s.took[step] == nil {
		s.order = append(s.order, step)
	}
	s.took[step] = append(s.took[step], took)
}

// quantile is the smallest value that so many of all are not above.
func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	at := int(float64(len(sorted))*q+0.999999) - 1
	return sorted[max(at, 0)]
}

// table has a row for each step, in milliseconds.
func (s *stopwatch) table(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, step := range s.order {
		all := s.took[step]
		ms := func(q float64) string {
			return strconv.FormatFloat(float64(quantile(all, q).Microseconds())/1000, 'f', 1, 64)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s |\n", name, step, len(all), ms(0.5), ms(0.95), ms(1))
	}
	return b.String()
}

// timesVariable is how many cards are timed.
const timesVariable = "DOMUS_CNI_TIMES"

// What a card adds to a VM's start, by steps, with the plugins of the machine: the
// table of docs/cni.md.
func TestTimes(t *testing.T) {
	times := 20
	if text := os.Getenv(timesVariable); text != "" {
		var err error
		times, err = strconv.Atoi(text)
		must(t, err)
	}
	load, err := os.ReadFile("/proc/loadavg")
	must(t, err)
	table := "load " + strings.TrimSpace(string(load)) + "\n| network | step | n | p50 ms | p95 ms | most ms |\n|---|---|---|---|---|---|\n"
	for _, c := range []struct{ name, config string }{
		{"bridge", `{"type": "bridge", "bridge": "br8", "isGateway": true, ` + ipam + `}`},
		{"bridge with ipMasq", `{"type": "bridge", "bridge": "br8", "isGateway": true, "ipMasq": true, ` + ipam + `}`},
		{"ptp", `{"type": "ptp", ` + ipam + `}`},
	} {
		h := newHost(t)
		h.network("net8", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net8", "plugins": [%s]}`, c.config))
		watch := &stopwatch{}
		m, err := cni.New(h.options, logr.New(watch))
		must(t, err)
		defer m.Close()
		ctx := context.Background()
		// The first makes what the network has for all cards.
		first := vm("first", "net0", "net8")
		_, err = m.Attach(ctx, first)
		must(t, err)
		watch.took, watch.order = nil, nil
		var all []cni.Attachment
		for i := range times {
			a := vm(fmt.Sprintf("vm%d", i), "net0", "net8")
			start := time.Now()
			_, err := m.Attach(ctx, a)
			must(t, err)
			watch.note("all of a first start", time.Since(start))
			all = append(all, a)
		}
		table += watch.table(c.name)
		watch.took, watch.order = nil, nil
		for _, a := range all {
			start := time.Now()
			_, err := m.Attach(ctx, a)
			must(t, err)
			watch.note("all of a start again", time.Since(start))
		}
		again := watch.took["all of a start again"]
		watch.took, watch.order = map[string][]time.Duration{"all of a start again": again}, []string{"all of a start again"}
		table += watch.table(c.name)
		watch.took, watch.order = nil, nil
		for _, a := range all {
			start := time.Now()
			must(t, m.Detach(ctx, a.UID, a.Card))
			watch.note("all of the removal", time.Since(start))
		}
		removal := watch.took["all of the removal"]
		watch.took, watch.order = map[string][]time.Duration{"all of the removal": removal}, []string{"all of the removal"}
		table += watch.table(c.name)
		if most := quantile(again, 0.95); most > patience {
			t.Errorf("%s: a card that stands took %s", c.name, most)
		}
	}
	t.Log("\n" + table)
}
