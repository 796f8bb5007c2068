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
	text, err := p.clientset.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parsing the API server's metrics: %w", err)
	}
	out := writes{}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		switch labels["verb"] {
		case "GET", "LIST", "WATCH", "CONNECT":
			continue
		}
		// Leases are renewed by the API server itself.
		if labels["resource"] == "leases" || !strings.HasPrefix(labels["code"], "2") {
			continue
		}
		what := labels["verb"] + " " + labels["resource"]
		if labels["subresource"] != "" {
			what += "/" + labels["subresource"]
		}
		out[what] += m.GetCounter().GetValue()
	}
	return out, nil
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
