package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// writes counts the writes that the API server has answered, by what they
// were: "PATCH virtualmachines/status".
type writes map[string]float64

// countWrites reads the API server's own counters.
func (p *plane) countWrites(ctx context.Context) (writes, error) {
	out := writes{}
	return out, p.eachRequest(ctx, func(r request) {
		switch r.verb {
		case "GET", "LIST", "WATCH", "CONNECT":
			return
		}
		// Leases are renewed by the API server itself.
		if r.resource == "leases" || !strings.HasPrefix(r.code, "2") {
			return
		}
		what := r.verb + " " + r.resource
		if r.subresource != "" {
			what += "/" + r.subresource
		}
		out[what] += r.count
	})
}

// countReads is how often what executors look at was read, watches that began
// included.
func (p *plane) countReads(ctx context.Context) (float64, error) {
	sum := 0.0
	err := p.eachRequest(ctx, func(r request) {
		switch r.resource {
		case "virtualmachines", "hypervisors", "nodes", "leases":
			if r.verb == "GET" || r.verb == "LIST" || r.verb == "WATCH" {
				sum += r.count
			}
		}
	})
	return sum, err
}

// request is one of the API server's counters of requests.
type request struct {
	verb, resource, subresource, code string
	count                             float64
}

func (p *plane) eachRequest(ctx context.Context, each func(request)) error {
	text, err := p.clientset.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("reading the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("parsing the API server's metrics: %w", err)
	}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		r := request{count: m.GetCounter().GetValue()}
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "verb":
				r.verb = l.GetValue()
			case "resource":
				r.resource = l.GetValue()
			case "subresource":
				r.subresource = l.GetValue()
			case "code":
				r.code = l.GetValue()
			}
		}
		each(r)
	}
	return nil
}

// since is the writes after before.
func (w writes) since(before writes) writes {
	out := writes{}
	for what, n := range w {
		if d := n - before[what]; d > 0 {
			out[what] = d
		}
	}
	return out
}

// perWorkload divides by the number of workloads, and leaves out the creation
// of the workloads themselves.
func (w writes) perWorkload(n int) map[string]float64 {
	out := map[string]float64{}
	for what, count := range w {
		if what == "POST pods" || what == "POST virtualmachines" {
			continue
		}
		out[what] = round(count/float64(n), 3)
	}
	return out
}
