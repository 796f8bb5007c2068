package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"domus.dev/domus/pkg/api/hostidentity"
	"domus.dev/domus/pkg/virtctl/failure"
)

const (
	// shortest and longest bound how long the certificate is valid: the signer's own
	// shortest, and what a certificate that travelled may be left lying about.
	shortest, longest = 10 * time.Minute, 7 * 24 * time.Hour
	defaultValid      = time.Hour
	defaultTimeout    = time.Minute
)

type add struct {
	output, server string
	valid, timeout time.Duration
}

func newAdd(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &add{valid: defaultValid, timeout: defaultTimeout}
	cmd := &cobra.Command{
		Use:   "add NODE",
		Short: "Make the kubeconfig by which a host without a kubelet joins",
		Long: `Make the kubeconfig by which the vm-executor of a host joins the cluster as NODE. Its
certificate is valid for an hour: long enough to be copied to the host, where the
executor asks with it for one whose key never leaves the host, and renews that by
itself. A host that joined loses nothing when this one ends.

You need the right to create and approve certificate requests of the signer
kubernetes.io/kube-apiserver-client. Adding a host again replaces nothing: use it for
one that was off for so long that its own certificate has ended.`,
		Example: `  # For /etc/domus/kubeconfig of the host
  virtctl host add node-7 --output node-7.kubeconfig

  # Hosts reach the API server by another address than you do
  virtctl host add node-7 --api-server https://192.0.2.10:6443 --output node-7.kubeconfig`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return failure.Usage("name the host's Node")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args[0]); err != nil {
				return err
			}
			return o.run(cmd.Context(), config, streams, args[0])
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "-", "File for the kubeconfig, which only you can read and which must not be there yet; - is standard output.")
	cmd.Flags().StringVar(&o.server, "api-server", "", "URL by which the host reaches the API server. Yours when empty.")
	cmd.Flags().DurationVar(&o.valid, "valid", o.valid, "How long the certificate can be used to join: 10m to 168h.")
	cmd.Flags().DurationVar(&o.timeout, "timeout", o.timeout, "How long the cluster may take to sign the certificate.")
	return cmd
}

func (o *add) check(node string) error {
	var errs []error
	for _, msg := range validation.IsDNS1123Subdomain(node) {
		errs = append(errs, failure.Usage("%q cannot be a Node's name: %s", node, msg))
	}
	// The executor makes the Node, with its name in a label, as a kubelet does.
	if len(node) > validation.LabelValueMaxLength {
		errs = append(errs, failure.Usage("%q cannot be a Node's name: it has %d characters, and %s has room for %d", node, len(node), corev1.LabelHostname, validation.LabelValueMaxLength))
	}
	if o.valid < shortest || o.valid > longest {
		errs = append(errs, failure.Usage("--valid=%s: give %s to %s", o.valid, shortest, longest))
	}
	if o.timeout <= 0 {
		errs = append(errs, failure.Usage("--timeout=%s: must be more than 0", o.timeout))
	}
	if u, err := url.Parse(o.server); o.server != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		errs = append(errs, failure.Usage("--api-server=%s: give a URL such as https://192.0.2.10:6443", o.server))
	}
	return errors.Join(errs...)
}

func (o *add) run(ctx context.Context, config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, node string) error {
	loaded, err := config.ToRESTConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	cfg := rest.CopyConfig(loaded)
	if err := rest.LoadTLSFiles(cfg); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	// Before anything is asked for, which would be for nothing.
	out, done, err := o.open(streams.Out)
	if err != nil {
		return err
	}
	cert, key, err := obtain(ctx, clientset, node, o.valid, o.timeout)
	if err == nil {
		err = write(out, o.kubeconfig(cfg, node, cert, key))
	}
	if err := done(err); err != nil {
		return err
	}
	server := o.serverOf(cfg)
	if cfg.Insecure {
		_, _ = fmt.Fprintln(streams.ErrOut, "warning: your kubeconfig has insecure-skip-tls-verify, and so has the host's: it does not look whether the API server is the real one")
	}
	if local(server) {
		_, _ = fmt.Fprintf(streams.ErrOut, "warning: other machines do not reach the API server at %s: give the address for hosts with --api-server\n", server)
	}
	_, _ = fmt.Fprintf(streams.ErrOut, "host %s can join within %s: put this in its /etc/domus/kubeconfig\n", node, o.valid)
	return nil
}

func (o *add) serverOf(cfg *rest.Config) string {
	if o.server != "" {
		return o.server
	}
	return cfg.Host
}

// kubeconfig is the host's way in.
func (o *add) kubeconfig(cfg *rest.Config, node string, cert, key []byte) *clientcmdapi.Config {
	const cluster = "domus"
	user := hostidentity.User(node)
	out := clientcmdapi.NewConfig()
	out.Clusters[cluster] = &clientcmdapi.Cluster{
		Server: o.serverOf(cfg), CertificateAuthorityData: cfg.CAData, TLSServerName: cfg.ServerName,
		InsecureSkipTLSVerify: cfg.Insecure,
	}
	out.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	out.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	out.CurrentContext = cluster
	return out
}

// open makes the file, and returns what closes it: one that got nothing is removed.
func (o *add) open(out io.Writer) (io.Writer, func(error) error, error) {
	if o.output == "-" {
		return out, func(err error) error { return err }, nil
	}
	file, err := os.OpenFile(o.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, nil, failure.Usage("--output=%s: the file is there already: remove it, or name another", o.output)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("making the kubeconfig: %w", err)
	}
	return file, func(err error) error {
		if err = errors.Join(err, file.Close()); err != nil {
			_ = os.Remove(o.output)
		}
		return err
	}, nil
}

func write(out io.Writer, config *clientcmdapi.Config) error {
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encoding the kubeconfig: %w", err)
	}
	if _, err := out.Write(data); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}

// local says whether only this machine reaches the server.
func local(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || ip != nil && ip.IsLoopback()
}
