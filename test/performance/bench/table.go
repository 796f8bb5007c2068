package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table is the results as Markdown.
func table(all Results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; measured %s.\n\n", all.Machine, all.Date)
	b.WriteString("| nodes | workloads | shape | mode | stock /s | Domus /s | ratio (pairs) | bound p50 / p99 ms: stock | Domus | CPU s scheduler + API server + etcd: stock | Domus | peak MiB scheduler: stock | Domus | first binding s: stock | Domus | writes: pod | VM |\n")
	b.WriteString("|--:|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range all.Runs {
		fmt.Fprintf(&b, "| %d | %d | %s | %s | %s | %s | **%.2f** (%.2f to %.2f, %d) | %s | %s | %s | %s | %.0f | %.0f | %.1f | %.1f | %s | %s |\n",
			r.Nodes, r.Workloads, r.Shape, r.Mode, spread(r.Stock.PerSecond), spread(r.Domus.PerSecond), r.Ratio, r.RatioMin, r.RatioMax, r.Pairs,
			latency(r.Stock), latency(r.Domus), cpu(r.Stock), cpu(r.Domus), r.Stock.PeakMiB.Scheduler, r.Domus.PeakMiB.Scheduler,
			r.Stock.StartUpSeconds, r.Domus.StartUpSeconds, writesOf(r.Stock), writesOf(r.Domus))
	}
	return b.String()
}

func spread(s Spread) string { return fmt.Sprintf("%.0f (%.0f to %.0f)", s.Median, s.Min, s.Max) }

func latency(s Side) string {
	if s.BoundP99Millis == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f / %.0f", s.BoundP50Millis, s.BoundP99Millis)
}

func cpu(s Side) string {
	return fmt.Sprintf("%.1f + %.1f + %.1f", s.CPUSeconds.Scheduler, s.CPUSeconds.APIServer, s.CPUSeconds.Etcd)
}

func writesOf(s Side) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(s.Writes)) {
		parts = append(parts, fmt.Sprintf("%s %.2f", what, s.Writes[what]))
	}
	return strings.Join(parts, ", ")
}
