// Package completion has shells complete command lines.
package completion

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/virtctl/failure"
)

// New returns `virtctl completion`; plugin says that kubectl is who calls.
func New(plugin bool, streams genericiooptions.IOStreams) *cobra.Command {
	if plugin {
		return ofPlugin()
	}
	scripts := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(streams.Out, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(streams.Out) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(streams.Out, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(streams.Out) },
	}
	return &cobra.Command{
		Use:   "completion (bash | zsh | fish | powershell)",
		Short: "Print what has a shell complete virtctl",
		Long: `Print the script that has a shell complete virtctl's verbs, flags and the names of
VMs.`,
		Example: `  # bash, with the package bash-completion, for all sessions to come
  virtctl completion bash > ~/.local/share/bash-completion/completions/virtctl

  # zsh
  virtctl completion zsh > "${fpath[1]}/_virtctl"

  # fish
  virtctl completion fish > ~/.config/fish/completions/virtctl.fish`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			script, known := scripts[args[0]]
			if !known {
				return failure.Usage("%q is no shell that can be helped: give bash, zsh, fish or powershell", args[0])
			}
			return script(cmd.Root())
		},
	}
}

// ofPlugin tells how kubectl completes its plugin, which takes no script.
func ofPlugin() *cobra.Command {
	return &cobra.Command{
		Use:   "completion",
		Short: "Tell how kubectl completes `kubectl vm`",
		RunE: func(*cobra.Command, []string) error {
			return failure.Usage("kubectl's own completion completes `kubectl vm` once the program is found under the name kubectl_complete-vm too: `ln -s kubectl-vm \"$(dirname \"$(command -v kubectl-vm)\")/kubectl_complete-vm\"`")
		},
	}
}
