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
	cmd.Flags().Int32Var(&o.Limit, "limit", 10, "How many hosts are named at most in each list.")
	complete.Flag(cmd, "output", formats...)
}

// Check refuses an unknown format, before anything is asked.
func (o *Output) Check() error {
	if o.format == "" || slices.Contains(formats, o.format) {
		return nil
	}
	return failure.Usage("--output=%s is no format: choose one of %s, or leave it out", o.format, strings.Join(formats, ", "))
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
		return people(out, status)
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
