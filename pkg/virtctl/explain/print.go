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

// examples is how many hosts are named for a reason when nobody asked for more.
const examples = 3

// print writes the answer for people.
func print(out io.Writer, status *v1alpha1.PlacementReviewStatus, shown int) error {
	if _, err := fmt.Fprintln(out, status.Message); err != nil {
		return err
	}
	if err := placement.Table(out, []string{"HOSTS", "PLUGIN", "REASON", "EXAMPLES"}, reasons(status.Rejections, shown)); err != nil {
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

func reasons(rejections []v1alpha1.PlacementRejection, shown int) [][]string {
	var rows [][]string
	for _, r := range rejections {
		reason := r.Reason
		if r.Evictable {
			reason += " (eviction could make room)"
		}
		names := r.NodeNames[:min(shown, len(r.NodeNames))]
		list := strings.Join(names, ",")
		if len(names) > 0 && len(names) < int(r.Hosts) {
			list += ",..."
		}
		rows = append(rows, []string{strconv.Itoa(int(r.Hosts)), r.Plugin, reason, list})
	}
	return rows
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
