package wait

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/virtctl/operation"
)

// DefaultTimeout is how long virtctl waits when the user does not say.
const DefaultTimeout = 5 * time.Minute

// errTimeout is the cause of a context whose time is up.
var errTimeout = errors.New("the time limit has passed")

// Options are --wait and --timeout.
type Options struct {
	Wait    bool
	Timeout time.Duration
}

// AddFlags adds both; wait is what is done when the user does not say.
func (o *Options) AddFlags(cmd *cobra.Command, wait bool, what string) {
	cmd.Flags().BoolVar(&o.Wait, "wait", wait, what)
	o.AddTimeout(cmd)
}

// AddTimeout adds --timeout.
func (o *Options) AddTimeout(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&o.Timeout, "timeout", DefaultTimeout, "How long to wait, such as 90s or 10m.")
}

// Check refuses a time limit that an operation could not have: some VMs of a
// command are waited for themselves, others by an operation.
func (o *Options) Check() error { return operation.CheckTimeout(o.Timeout) }

// Limit returns a context that ends when the time is up.
func (o *Options) Limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
}

// TimedOut says whether err is that the time was up.
func TimedOut(err error) bool { return errors.Is(err, errTimeout) }
