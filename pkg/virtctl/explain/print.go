package explain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/placement"
)

// print writes the answer for people. name is the VM's, if it has one; shown is
// how many hosts are named for a reason.
func print(out io.Writer, name string, status *v1alpha1.PlacementReviewStatus, shown int) error {
	subject := "the VM"
	if name != "" {
		subject = "virtualmachine/" + name
	}
	if _, err := fmt.Fprintln(out, subject, status.Message); err != nil {
		return err
	}
	if err := placement.Rejections(out, status.Rejections, shown); err != nil {
		return err
	}
	header, rows := scores(status.Candidates)
	if err := placement.Table(out, header, rows); err != nil {
		return err
	}
	var rest []string
	if more := int(status.Feasible) - len(status.Candidates); more > 0 && len(status.Candidates) > 0 {
		rest = append(rest, fmt.Sprintf("(%d more hosts fit: --limit shows more)", more))
	}
	if len(status.Changes) > 0 {
		rest = append(rest, "", "What would have to change:")
		for _, change := range status.Changes {
			rest = append(rest, "- "+change)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(out, strings.Join(rest, "\n"))
	return err
}

// scores returns a column per plugin that scored any host.
func scores(candidates []v1alpha1.PlacementCandidate) (header []string, rows [][]string) {
	plugins := map[string]bool{}
	for _, c := range candidates {
		for _, p := range c.Plugins {
			plugins[p.Name] = true
		}
	}
	columns := slices.Sorted(maps.Keys(plugins))
	header = append([]string{"HOST", "SCORE"}, columns...)
	for _, c := range candidates {
		row := []string{c.NodeName, strconv.FormatInt(c.Score, 10)}
		for _, name := range columns {
			score := ""
			for _, p := range c.Plugins {
				if p.Name == name {
					score = strconv.FormatInt(p.Score, 10)
				}
			}
			row = append(row, score)
		}
		rows = append(rows, row)
	}
	return header, rows
}
