package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Hold results against what is claimed", Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := load(args[0])
			if err != nil {
				return err
			}
			if err := check(all.Runs); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: all %d results are within what is claimed\n", args[0], len(all.Runs))
			return nil
		},
	}
}

// claim is what must hold of the results of a shape, on any number of nodes.
type claim struct {
	// minRatio is of the medians of a backlog, Domus to stock.
	minRatio float64
	// maxWrites are writes for each VM after its creation.
	maxWrites float64
}

// claims are made from what results/ holds; measured is the lowest ratio of
// medians there. Ratios of runs on one machine differ by a tenth, which is the
// margin. Writes are counted, not timed: they have none but that of events,
// which are sampled by time.
var claims = map[string]claim{
	"plain":         {minRatio: .96, maxWrites: 2}, // measured 1.04 and 1.05 writes
	"single-cell":   {minRatio: 1.0, maxWrites: 2}, // measured 1.18 and 1.05 writes
	"anti-affinity": {minRatio: .88, maxWrites: 2}, // measured 0.98 and 1.08 writes
	"spread":        {minRatio: .95, maxWrites: 2}, // measured 1.17 and 1.07 writes
	// A VM that fits nowhere has a condition and an event that say why.
	"unschedulable": {minRatio: .92, maxWrites: 2}, // measured 1.03 and 1.16 writes
	// For each VM that is placed: it says for which host room is being made; its
	// victim is asked to leave, has left, is released, and says why it waits.
	"preemption": {minRatio: .72, maxWrites: 8.5}, // measured 0.83 and 7.4 writes
}

// fewNodes is what is claimed of the ratio where there are fewer than manyNodes:
// what kube-scheduler saves by few nodes the API server's part of a binding does
// not. Measured 0.77 on 100 nodes.
const (
	fewNodes  = .65
	manyNodes = 1000
)

// check returns what results fall short of the claims.
func check(runs []Result) error {
	var errs []error
	for _, r := range runs {
		c := claims[r.Shape]
		where := fmt.Sprintf("%s (%s) on %d nodes with %d workloads", r.Shape, r.Mode, r.Nodes, r.Workloads)
		least := c.minRatio
		if r.Nodes < manyNodes {
			least = min(least, fewNodes)
		}
		if r.Mode == modeBacklog && r.Ratio < least {
			errs = append(errs, fmt.Errorf("%s: ratio %.2f, claimed is at least %.2f", where, r.Ratio, least))
		}
		if r.APIWritesPerVM > c.maxWrites {
			errs = append(errs, fmt.Errorf("%s: %.2f writes for each VM, claimed are at most %.2f", where, r.APIWritesPerVM, c.maxWrites))
		}
	}
	return errors.Join(errs...)
}
