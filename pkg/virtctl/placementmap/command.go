// Package placementmap shows the placement map in a browser.
package placementmap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/virtctl/failure"
)

// New returns `virtctl map`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Show hosts, NUMA cells and VMs in a browser",
		Long: `Show hosts, their NUMA cells and the VMs in them as a picture that changes as they
do, with why a VM is where it is, or waits. The command prints the page's address,
serves it to this machine alone, and ends with Ctrl-C.

vm-scheduler draws up the map and shows of it what you may list: hosts if you may
list hypervisors, and VMs of the namespaces in which you may list virtualmachines.
It is asked with the credentials of your kubeconfig, which the browser never has:
whoever knows the printed address sees what you may see as long as the command
runs.

vm-scheduler is asked where the API server calls it, and trusted by the certificate
that the API server trusts: ValidatingWebhookConfiguration vm-scheduler.domus.dev
says both. Where it is reached by a Service of the cluster alone, forward a port and
give --map-server.`,
		Example: `  # The map
  virtctl map

  # In a cluster whose Services this machine cannot reach
  kubectl -n domus-system port-forward service/vm-scheduler-webhook 9443:443 &
  virtctl map --map-server https://localhost:9443`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.port < 0 || o.port > 65535 {
				return failure.Usage("--port=%d: give 0 to 65535", o.port)
			}
			loaded, err := config.ToRESTConfig()
			if err != nil {
				return fmt.Errorf("reading the kubeconfig: %w", err)
			}
			target, err := o.find(cmd.Context(), loaded)
			if err != nil {
				return err
			}
			if err := target.check(cmd.Context()); err != nil {
				return err
			}
			return o.serve(cmd.Context(), target, streams)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "map-server", "", "URL of vm-scheduler's webhook port, such as https://localhost:9443. Default: where the API server calls it.")
	f.StringVar(&o.authority, "map-certificate-authority", "", "File of the certificate that vm-scheduler is trusted by. Default: the one that the API server trusts.")
	f.IntVar(&o.port, "port", 0, "Port of 127.0.0.1 on which the page is served; 0 takes a free one.")
	_ = cmd.MarkFlagFilename("map-certificate-authority", "pem", "crt")
	return cmd
}

type options struct {
	server, authority string
	port              int
}

// serve serves the page until ctx ends, which is how the command ends.
func (o *options) serve(ctx context.Context, to *target, streams genericiooptions.IOStreams) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("serving the page on --port=%d: give a port that is free, or 0: %w", o.port, err)
	}
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	token := rand.Text()
	server := &http.Server{
		Handler:           newProxy(to, token, port),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(streams.Out, "http://127.0.0.1:%s/%s/\n", port, token); err != nil {
		return errors.Join(err, server.Close())
	}
	if _, err := fmt.Fprintln(streams.ErrOut, "The placement map is served at this address, to this machine alone, until Ctrl-C."); err != nil {
		return errors.Join(err, server.Close())
	}
	select {
	case <-ctx.Done():
		// Streams would not end by themselves.
		return server.Close()
	case err := <-ended:
		return fmt.Errorf("serving the page: %w", err)
	}
}
