package placement

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

// formats of output beside the one for people.
var formats = []string{"json", "yaml"}

// Output says how an answer is printed.
type Output struct {
	format string
	// Limit is how many hosts the answer names in each of its lists.
	Limit int32
}

// AddFlags adds -o and --limit.
func (o *Output) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "", "Format of the answer: json or yaml, which print the status of the PlacementReview. Default: for people.")
	cmd.Flags().Int32Var(&o.Limit, "limit", 10, "How many hosts are named at most in each list; 0 leaves out those that fit.")
	complete.Flag(cmd, "output", formats...)
}

// maxLimit is how many hosts a review names at most.
const maxLimit = 5000

// Check refuses an unknown format and a limit that is none, before anything is
// asked.
func (o *Output) Check() error {
	if o.Limit < 0 || o.Limit > maxLimit {
		return failure.Usage("--limit=%d: must be from 0 to %d", o.Limit, maxLimit)
	}
	if o.format == "" || slices.Contains(formats, o.format) {
		return nil
	}
	return failure.Usage("--output=%s is no format: choose one of %s, or leave it out", o.format, strings.Join(formats, ", "))
}

// asked is how many hosts the review is asked to name. People see a few examples
// of hosts for each reason even where they want no lists.
func (o *Output) asked() int32 {
	if o.Limit == 0 && o.format == "" {
		return examples
	}
	return o.Limit
}

// withoutLists is the answer for people who want no lists of hosts.
func (o *Output) withoutLists(status *v1alpha1.PlacementReviewStatus) *v1alpha1.PlacementReviewStatus {
	if o.Limit > 0 {
		return status
	}
	short := status.DeepCopy()
	short.Candidates = nil
	if short.Fit != nil {
		short.Fit.Hosts = nil
	}
	return short
}

// Print writes the answer; people writes it for people.
func (o *Output) Print(out io.Writer, status *v1alpha1.PlacementReviewStatus, people func(io.Writer, *v1alpha1.PlacementReviewStatus) error) error {
	var data []byte
	var err error
	switch o.format {
	case "json":
		if data, err = json.MarshalIndent(status, "", "    "); err == nil {
			data = append(data, '\n')
		}
	case "yaml":
		data, err = yaml.Marshal(status)
	default:
		return people(out, o.withoutLists(status))
	}
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	_, err = out.Write(data)
	return err
}

// Table writes rows as kubectl does, after an empty line. Without any it writes
// nothing.
func Table(out io.Writer, header []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return output.Table(out, header, rows)
}
