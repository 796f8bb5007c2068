// Package image has the commands about VirtualDiskImages: uploading a file as one.
package image

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

var formats = complete.ChoicesOf(v1alpha1.DiskQCOW2, v1alpha1.DiskRaw)

// New returns `virtctl image`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image upload",
		Short:   "Upload files as VirtualDiskImages",
		Long:    "Upload files as VirtualDiskImages, which VirtualDisks begin with.",
		Example: "  virtctl image upload debian -f debian-13.qcow2",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return failure.Usage("virtctl image %s: give upload", args[0])
		},
		ValidArgsFunction: cobra.NoFileCompletions, // its verb is completed
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newUpload(config, streams))
	return cmd
}

func newUpload(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	path, format, size, origin := "", "", "", v1alpha1.UploadOrigin{}
	cmd := &cobra.Command{
		Use:   "upload NAME -f FILE",
		Short: "Upload a file as a VirtualDiskImage",
		Long: `Upload a file to a host, as the VirtualDiskImage NAME, and print its SHA-256. The
object is made unless it is there. The file is read twice: its checksum tells the
host whether all came. What was cut off goes on where it was, also with the next
call. The host keeps the image until the object is deleted.`,
		Example: `  # A qcow2 file, to the host with most room
  virtctl image upload debian -f debian-13.qcow2

  # A medium, to a host of choice
  virtctl image upload installer -f netinst.iso --format raw --host node-1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return failure.Usage("name one VirtualDiskImage")
			}
			if why := validation.IsDNS1123Subdomain(args[0]); len(why) > 0 {
				return failure.Usage("%q cannot be the name of a VirtualDiskImage: %s", args[0], why[0])
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, names []string) error {
			if path == "" {
				return failure.Usage("say which file: -f FILE")
			}
			if err := formats.Check("format", format); err != nil {
				return err
			}
			spec := v1alpha1.VirtualDiskImageSpec{Source: v1alpha1.ImageOrigin{Upload: &origin}, Format: v1alpha1.DiskFormat(format)}
			if size != "" {
				q, err := resource.ParseQuantity(size)
				if err != nil {
					return failure.Usage("--size %s: give bytes such as 20Gi", size)
				}
				spec.Size = &q
			}
			c, err := cluster.Connect(config)
			if err != nil {
				return err
			}
			namespace, err := cluster.NamespaceOf(config)
			if err != nil {
				return err
			}
			progress := output.NewProgress(streams.ErrOut)
			defer progress.Stop()
			u := uploader{api: c, image: client.ObjectKey{Namespace: namespace.Name, Name: names[0]}, spec: spec, path: path, progress: progress}
			err = u.run(cmd.Context())
			progress.Stop()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "virtualdiskimage/%s %s (%s, %s)\n%s\n", names[0], u.did(), format, capacity.Bytes(u.length), u.spec.Checksum)
			return err
		},
	}
	cmd.Flags().StringVarP(&path, "file", "f", "", "File to upload.")
	cmd.Flags().StringVar(&format, "format", string(v1alpha1.DiskQCOW2), "Format of the file, qcow2 or raw. It is never guessed: a file of another one is refused.")
	cmd.Flags().StringVar(&size, "size", "", "What a guest sees of it; one of another size is refused. Default: whatever it has.")
	cmd.Flags().StringVar(&origin.NodeName, "host", "", "Host that keeps it. Default: one that has room is chosen.")
	cmd.Flags().StringVar(&origin.PoolName, "pool", "", "Storage pool there, of files. Default: default.")
	formats.Complete(cmd, "format")
	_ = cmd.MarkFlagFilename("file") // the flag is there
	return cmd
}
