package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newTableCommand() *cobra.Command {
	return &cobra.Command{
		Use: "table FILE", Short: "Print results as Markdown", Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := load(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), table(all))
			return err
		},
	}
}

// table is the results as Markdown.
func table(all Results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; measured %s.\n\n", all.Machine, all.Date)
	b.WriteString("| nodes / workloads | shape | mode | stock /s | Domus /s | ratio (pairs) | CPU s: stock | CPU s: Domus |\n|---|---|---|--:|--:|--:|--:|--:|\n")
	for _, r := range all.Runs {
		fmt.Fprintf(&b, "| %d / %d | %s | %s | %s | %s | **%.2f** (%.2f to %.2f of %d) | %s | %s |\n",
			r.Nodes, r.Workloads, r.Shape, r.Mode, spread(r.Stock.PerSecond), spread(r.Domus.PerSecond), r.Ratio, r.RatioMin, r.RatioMax, r.Pairs,
			cpu(r.Stock), cpu(r.Domus))
	}
	b.WriteString("\nMedians, and from the least to the most. CPU is of scheduler + API server + etcd.\n\n")
	b.WriteString("| nodes / workloads | shape | mode | peak MiB of scheduler: stock | Domus | first binding after s: stock | Domus | bound after ms, p50 / p99: stock | Domus | writes for each Pod | for each VM |\n|---|---|---|--:|--:|--:|--:|--:|--:|---|---|\n")
	for _, r := range all.Runs {
		fmt.Fprintf(&b, "| %d / %d | %s | %s | %.0f | %.0f | %.1f | %.1f | %s | %s | %s | %s |\n",
			r.Nodes, r.Workloads, r.Shape, r.Mode, r.Stock.PeakMiB.Scheduler, r.Domus.PeakMiB.Scheduler, r.Stock.StartUpSeconds, r.Domus.StartUpSeconds,
			latency(r.Stock), latency(r.Domus), writesOf(r.Stock), writesOf(r.Domus))
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
