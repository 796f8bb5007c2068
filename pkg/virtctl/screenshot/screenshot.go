// Package screenshot takes a picture of a guest's screen.
package screenshot

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
	"domus.dev/domus/pkg/virtctl/wait"
)

// New returns `virtctl screenshot`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options, path := &wait.Options{}, ""
	cmd := &cobra.Command{
		Use:   "screenshot NAME",
		Short: "Take a picture of a guest's screen",
		Long: `Take a picture of a guest's screen, in PNG. It is made smaller by halves until it
has at most 512 KiB. In the cluster it is kept for a minute.`,
		Example: `  # Into web-1.png
  virtctl screenshot web-1

  # To another program
  virtctl screenshot web-1 -f - | display`,
		Args:              cluster.OneName,
		ValidArgsFunction: complete.OneVM(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			name, err := cluster.Name(names[0])
			if err != nil {
				return err
			}
			switch {
			case path == "-" && output.IsTerminal(streams.Out):
				return failure.Usage("standard output is a terminal, which shows no PNG: write to a file or another program")
			case path == "":
				path = name + ".png"
			}
			request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{Type: v1alpha1.OperationScreenshot}, options.Timeout, operation.Short)
			if err != nil {
				return err
			}
			outcome, err := request.OnOne(cmd.Context(), config, streams, name, true)
			if err != nil {
				return err
			}
			picture := outcome.Operation.Status.Screenshot
			if err := check(picture); err != nil {
				return fmt.Errorf("screenshot of virtualmachine %q: %w", name, err)
			}
			if path == "-" {
				_, err := streams.Out.Write(picture.PNG)
				return err
			}
			if err := write(path, picture.PNG); err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "virtualmachine/%s pictured in %s (%dx%d)\n", name, path, picture.Width, picture.Height)
			return err
		},
	}
	cmd.Flags().StringVarP(&path, "filename", "f", "", "File to write; - is standard output. Default: the VM's name with .png.")
	// The flag is there: it was just added.
	_ = cmd.MarkFlagFilename("filename", "png")
	options.AddTimeout(cmd)
	return cmd
}

// check refuses what is no picture.
func check(picture *v1alpha1.Screenshot) error {
	if picture == nil || len(picture.PNG) == 0 {
		return fmt.Errorf("the host sent none: try again")
	}
	if _, err := png.DecodeConfig(bytes.NewReader(picture.PNG)); err != nil {
		return fmt.Errorf("the host sent what is no PNG: %w", err)
	}
	return nil
}

// write replaces the file as a whole: one that is there stays until the new one
// is complete. Only the user may read it: a screen may show anything.
func write(path string, data []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".virtctl-*.png")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	_, err = io.Copy(file, bytes.NewReader(data))
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
