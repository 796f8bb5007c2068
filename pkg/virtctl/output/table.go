package output

import (
	"fmt"
	"io"
	"strings"

	"k8s.io/cli-runtime/pkg/printers"
)

// Table writes rows under a header as kubectl does. Without any it writes
// nothing.
func Table(out io.Writer, header []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	w := printers.GetNewTabWriter(out)
	for _, row := range append([][]string{header}, rows...) {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}
