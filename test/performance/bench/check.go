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

// claim is what must hold of the results of a shape.
type claim struct {
	minRatio, maxWrites float64
}

var claims = map[string]claim{}

// check returns what results fall short of the claims.
func check(runs []Result) error {
	var errs []error
	for _, r := range runs {
		c, ok := claims[r.Shape]
		if !ok {
			continue
		}
		where := fmt.Sprintf("%s (%s) on %d nodes with %d workloads", r.Shape, r.Mode, r.Nodes, r.Workloads)
		if r.Mode == modeBacklog && r.Ratio < c.minRatio {
			errs = append(errs, fmt.Errorf("%s: ratio %.2f, claimed is at least %.2f", where, r.Ratio, c.minRatio))
		}
		if r.APIWritesPerVM > c.maxWrites {
			errs = append(errs, fmt.Errorf("%s: %.2f writes for each VM, claimed are at most %.2f", where, r.APIWritesPerVM, c.maxWrites))
		}
	}
	return errors.Join(errs...)
}
