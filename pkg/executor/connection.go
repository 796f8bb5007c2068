package executor

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"domus.dev/domus/pkg/executor/credentials"
	"domus.dev/domus/pkg/executor/hostconfig"
)

const (
	// component is the name under which events are reported.
	component = "vm-executor"
	// An executor's requests come in bursts after a restart; the API server's
	// own fairness limits it otherwise.
	clientQPS, clientBurst = 50, 100
)

// credentialsOf is the host's connection, with a certificate of its own where it is to
// have one.
func credentialsOf(ctx context.Context, h *hostconfig.HostConfiguration) (*rest.Config, error) {
	connect := func() (*rest.Config, error) { return connection(h.Kubeconfig) }
	if h.CertificateDir == "" {
		return connect()
	}
	return credentials.Keep(ctx, credentials.Options{Node: h.NodeName, Dir: h.CertificateDir, Connect: connect})
}

// connection finds the API server.
func connection(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	config.UserAgent = component
	return config, nil
}
