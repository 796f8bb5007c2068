// Package sendkey presses keys of a guest's keyboard.
package sendkey

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/wait"
)

// maxHold is the API's bound.
const maxHold = 10 * time.Second

// New returns `virtctl send-key`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options, hold := &wait.Options{}, 100*time.Millisecond
	names := complete.OneVM(config)
	cmd := &cobra.Command{
		Use:   "send-key NAME KEYS...",
		Short: "Press keys on a guest's keyboard",
		Long: `Press keys on a guest's keyboard. Keys that are pressed together are joined by -
or +, as in ctrl-alt-delete; what is given after them is pressed afterwards. A
key has its everyday name, or that of Linux (KEY_LEFTCTRL).`,
		Example: `  # Log in or out of most systems
  virtctl send-key web-1 ctrl-alt-delete

  # One after the other
  virtctl send-key web-1 esc esc KEY_F12

  # Hold the power key of a system that asks what to do
  virtctl send-key web-1 KEY_POWER --hold=5s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("give the name of a VM and keys, such as ctrl-alt-delete")
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return names(cmd, args, toComplete)
			}
			return completeChord(toComplete), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if hold < time.Millisecond || hold > maxHold {
				return failure.Usage("--hold=%s: must be from 1ms to %s", hold, maxHold)
			}
			var requests []*operation.Request
			for _, text := range args[1:] {
				keys, err := chord(text)
				if err != nil {
					return err
				}
				request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{
					Type:    v1alpha1.OperationSendKey,
					SendKey: &v1alpha1.SendKey{Keys: keys, HoldMilliseconds: ptr.To(int32(math.Ceil(hold.Seconds() * 1000)))},
				}, options.Timeout, 0)
				if err != nil {
					return err
				}
				requests = append(requests, request)
			}
			// Each is waited for before the next: two of one second have no order.
			for i, request := range requests {
				outcome, err := request.OnOne(cmd.Context(), config, streams, args[0], true)
				if err != nil && i > 0 {
					return fmt.Errorf("after %s: %w", strings.Join(args[1:i+1], ", "), err)
				}
				if err != nil {
					return err
				}
				if err := operation.Tell(streams.Out, outcome, "got "+args[i+1]); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&hold, "hold", hold, "How long keys are held.")
	options.AddTimeout(cmd)
	return cmd
}
