// Package sshkey lets public keys into a guest.
package sshkey

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/wait"
)

// New returns `virtctl ssh-key`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options, user := &wait.Options{}, ""
	var paths []string
	cmd := &cobra.Command{
		Use:   "ssh-key NAME -f FILE",
		Short: "Add public keys to a guest user's authorized_keys",
		Long: `Add the public keys of files to the authorized_keys of a guest's user, by the
guest agent. A file has lines as authorized_keys(5) has them.`,
		Example: `  # One's own key, for root
  virtctl ssh-key web-1 -f ~/.ssh/id_ed25519.pub

  # The keys of an agent, for admin
  ssh-add -L | virtctl ssh-key web-1 --guest-user=admin -f -`,
		Args:              cluster.OneName,
		ValidArgsFunction: complete.OneVM(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(paths) == 0 {
				return failure.Usage("give a file of public keys with --filename, such as ~/.ssh/id_ed25519.pub")
			}
			if err := operation.CheckUser(user); err != nil {
				return err
			}
			keys, err := load(paths, streams.In)
			if err != nil {
				return err
			}
			request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{
				Type: v1alpha1.OperationInjectSSHKey, InjectSSHKey: &v1alpha1.InjectSSHKey{User: user, AuthorizedKeys: lines(keys)},
			}, options.Timeout, 0)
			if err != nil {
				return err
			}
			outcome, err := request.OnOne(cmd.Context(), config, streams, names[0], options.Wait)
			if err != nil {
				return err
			}
			if !options.Wait {
				_, err := fmt.Fprintf(streams.Out, "virtualmachineoperation/%s created\n", outcome.Operation.Name)
				return err
			}
			return operation.Tell(streams.Out, outcome, fmt.Sprintf("lets in as %s: %s", user, strings.Join(prints(keys), ", ")))
		},
	}
	cmd.Flags().StringVar(&user, "guest-user", "root", "The guest's user.")
	cmd.Flags().StringArrayVarP(&paths, "filename", "f", nil, "File of public keys; - reads standard input. May be repeated.")
	// The flag is there: it was just added.
	_ = cmd.MarkFlagFilename("filename", "pub")
	complete.Flag(cmd, "guest-user")
	options.AddFlags(cmd, true, "Wait until it is done.")
	return cmd
}
