package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/tickets"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

const (
	// ticketTimeout is how long the host may take to say where it serves.
	ticketTimeout = 30 * time.Second
	// A download that is cut off is begun again so often, after pauses that double
	// from firstPause; getting any further begins counting anew.
	maxTries   = 6
	firstPause = time.Second
)

var formats = complete.ChoicesOf(v1alpha1.DiskQCOW2, v1alpha1.DiskRaw)

// NewExport returns `virtctl disk export`.
func NewExport(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	path, format := "", ""
	cmd := &cobra.Command{
		Use:   "export NAME -o FILE",
		Short: "Have the content of a VirtualDisk as a file",
		Long: `Have the content of a VirtualDisk as a file, from the host that it is on, and
print its SHA-256. No guest may be running or suspended on the disk, and none is
started meanwhile. What was cut off goes on where it was, also with the next call,
as long as the disk was not written; until then FILE.part holds it.`,
		Example: `  # As it is on its host
  virtctl disk export data -o data.qcow2

  # As a raw file
  virtctl disk export data -o data.raw --format raw`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return failure.Usage("name one VirtualDisk (see `kubectl get vdisk`)")
			}
			if len(validation.IsDNS1123Subdomain(args[0])) > 0 {
				return failure.Usage("%q cannot be the name of a VirtualDisk: see `kubectl get vdisk`", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			if path == "" {
				return failure.Usage("say into which file: -o FILE")
			}
			if err := formats.Check("format", format); err != nil {
				return err
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
			e := exporter{
				api: c, disk: client.ObjectKey{Namespace: namespace.Name, Name: names[0]}, format: v1alpha1.DiskFormat(format), progress: progress,
				file: newFile(path),
			}
			sum, err := e.run(cmd.Context())
			progress.Stop()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "virtualdisk/%s exported to %s (%s, %s)\nsha256:%s\n", names[0], path, e.got, capacity.Bytes(e.file.length), sum)
			return err
		},
	}
	cmd.Flags().StringVarP(&path, "output", "o", "", "File to write.")
	cmd.Flags().StringVar(&format, "format", "", "Format of the file, qcow2 or raw. Default: the disk's own. For another one its host makes a copy first.")
	formats.Complete(cmd, "format")
	_ = cmd.MarkFlagFilename("output") // the flag is there
	return cmd
}

// exporter brings one disk into a file.
type exporter struct {
	api      client.Client
	disk     client.ObjectKey
	format   v1alpha1.DiskFormat
	progress *output.Progress
	file     *file
	// got is the format of what came.
	got string
}

// run returns the SHA-256 of the file.
func (e *exporter) run(ctx context.Context) (sum string, err error) {
	if err := e.file.open(); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, e.file.close()) }()
	pause, tries := firstPause, 0
	for {
		before := e.file.length
		err := e.attempt(ctx)
		var final finalError
		switch {
		case err == nil:
			e.progress.Say("computing the checksum")
			return e.file.finish(ctx)
		case errors.As(err, &final):
			return "", final.error
		case ctx.Err() != nil:
			return "", failure.TimedOut("exporting virtualdisk %q: interrupted; %s has what came, and the same command goes on with it", e.disk.Name, e.file.part)
		}
		if e.file.length > before {
			pause, tries = firstPause, 0
		}
		if tries++; tries >= maxTries {
			return "", fmt.Errorf("exporting virtualdisk %q: %w; %s has what came, and the same command goes on with it", e.disk.Name, err, e.file.part)
		}
		e.progress.Say(fmt.Sprintf("cut off, trying again: %v", err))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// finalError is one that trying again does not mend.
type finalError struct{ error }

// attempt makes a ticket, downloads what is missing, and removes the ticket.
func (e *exporter) attempt(ctx context.Context) error {
	disk := &v1alpha1.VirtualDisk{}
	if err := e.api.Get(ctx, e.disk, disk); err != nil {
		return e.fromAPI(err)
	}
	if disk.Status.NodeName == "" || disk.Status.VolumeName == "" {
		return finalError{failure.Refused("virtualdisk %q has no volume yet: it gets one with the first VM that uses it", e.disk.Name)}
	}
	token := rand.Text() + rand.Text()
	ticket := &v1alpha1.TransferTicket{ObjectMeta: metav1.ObjectMeta{Namespace: e.disk.Namespace, GenerateName: "export-"}}
	ticket.Spec = v1alpha1.TransferTicketSpec{
		NodeName: disk.Status.NodeName, TokenSHA256: tickets.Hash(token),
		DiskExport: &v1alpha1.DiskExport{DiskName: e.disk.Name, Format: e.format},
	}
	e.progress.Say("asking for a ticket")
	if err := e.api.Create(ctx, ticket); err != nil {
		return e.fromAPI(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ticketTimeout)
		defer cancel()
		_ = e.api.Delete(ctx, ticket) // or it is removed after a day
	}()
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, ticketTimeout, true, func(ctx context.Context) (bool, error) {
		if err := e.api.Get(ctx, client.ObjectKeyFromObject(ticket), ticket); err != nil {
			return false, err
		}
		return ticket.Status.URL != "", nil
	})
	switch {
	case err == nil:
	case wait.Interrupted(err) && ctx.Err() == nil:
		return finalError{failure.TimedOut("host %s has not said for %s where it serves: its vm-executor may be away, or have no transfer.bindAddress in its configuration", ticket.Spec.NodeName, ticketTimeout)}
	default:
		return e.fromAPI(err)
	}
	return e.download(ctx, ticket, token)
}

// fromAPI tells what another attempt may mend from what it does not.
func (e *exporter) fromAPI(err error) error {
	if apierrors.IsNotFound(err) {
		return finalError{failure.NotFound("there is no virtualdisk %q in namespace %q: see `kubectl get vdisk -A`", e.disk.Name, e.disk.Namespace)}
	}
	told := failure.API(err, "exporting virtualdisk %q", e.disk.Name)
	if failure.Final(err) || apierrors.IsInvalid(err) {
		return finalError{told}
	}
	return told
}
