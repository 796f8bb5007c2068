package placement

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// examples is how many hosts are named for a reason when nobody asked for more.
const examples = 3

// Examples is how many hosts are named for a reason: a few, or as many as the
// user asked for.
func (o *Output) Examples(cmd *cobra.Command) int {
	if cmd.Flags().Changed("limit") && o.Limit > 0 {
		return int(o.Limit)
	}
	return examples
}

// Rejections writes a table of why hosts are out of the question; shown is how
// many of them are named for each reason.
func Rejections(out io.Writer, rejections []v1alpha1.PlacementRejection, shown int) error {
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
	return Table(out, []string{"HOSTS", "PLUGIN", "REASON", "EXAMPLES"}, rows)
}
