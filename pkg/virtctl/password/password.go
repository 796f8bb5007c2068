// Package password sets the password of a guest's user. It leaves the user's
// terminal as a hash alone.
package password

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/wait"
)

// New returns `virtctl password`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options, user, given := &wait.Options{}, "", ""
	cmd := &cobra.Command{
		Use:   "password NAME",
		Short: "Set the password of a guest's user",
		Long: `Set the password of a guest's user by the guest agent. It is asked for, and
hashed here (SHA-512 of crypt(5)): only the hash is sent, and kept in the cluster
for a minute.`,
		Example: `  # Asks for the new password of root
  virtctl password web-1

  # A hash that is there already
  openssl passwd -6 | virtctl password web-1 --guest-user=admin --hash=-`,
		Args:              cluster.OneName,
		ValidArgsFunction: complete.OneVM(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := operation.CheckUser(user); err != nil {
				return err
			}
			hash, err := hashFrom(cmd, given, names[0], user, streams)
			if err != nil {
				return err
			}
			request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{
				Type: v1alpha1.OperationSetPassword, SetPassword: &v1alpha1.SetPassword{User: user, Hash: hash},
			}, options.Timeout, operation.Short)
			if err != nil {
				return err
			}
			outcome, err := request.OnOne(cmd.Context(), config, streams, names[0], options.Wait)
			if err != nil {
				return err
			}
			if !options.Wait {
				return created(streams.Out, outcome)
			}
			return operation.Tell(streams.Out, outcome, "has a new password for "+user)
		},
	}
	cmd.Flags().StringVar(&user, "guest-user", "root", "The guest's user.")
	cmd.Flags().StringVar(&given, "hash", "", "The password as crypt(5) hashes it, such as $6$salt$hash; - reads it from standard input. Default: asks for the password.")
	complete.Flag(cmd, "hash")
	complete.Flag(cmd, "guest-user")
	options.AddFlags(cmd, true, "Wait until it is done.")
	return cmd
}

func created(out io.Writer, outcome *operation.Outcome) error {
	_, err := fmt.Fprintf(out, "virtualmachineoperation/%s created\n", outcome.Operation.Name)
	return err
}

// hashFrom returns the hash that the user gave, or that of the password the user
// types.
func hashFrom(cmd *cobra.Command, given, vm, user string, streams genericiooptions.IOStreams) (string, error) {
	switch {
	case given == "-":
		return readHash(streams.In)
	case cmd.Flags().Changed("hash"):
		return given, checkHash(given)
	}
	password, err := prompt(cmd.Context(), streams, fmt.Sprintf("%s of %s", user, vm))
	if err != nil {
		return "", err
	}
	return hash(password)
}
