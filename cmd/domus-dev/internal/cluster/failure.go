package cluster

import (
	"fmt"
	"strings"

	"domus.dev/domus/cmd/domus-dev/internal/proc"
)

// tailLines is how much of a component's log a failure shows.
const tailLines = 20

// failure is a component that does not do its work. Its message shows the end
// of the component's log.
type failure struct {
	component string
	logFile   string
	err       error
}

// Error says what failed, what the component said, and where to read on.
func (f *failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v\n", f.component, f.err)
	if tail := proc.Tail(f.logFile, tailLines); tail != "" {
		fmt.Fprintf(&b, "The end of its log:\n  %s\n", strings.ReplaceAll(tail, "\n", "\n  "))
	}
	fmt.Fprintf(&b, "The whole log is %s. Once the cause is gone, run the same command again: what runs is kept.", f.logFile)
	return b.String()
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }
