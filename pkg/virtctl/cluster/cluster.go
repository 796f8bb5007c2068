// Package cluster connects virtctl's commands to the cluster of the user's
// kubeconfig, and finds the VMs there that a command is about.
package cluster

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Requests a second, and at once, that one command may make: enough for a
// hundred operations at once; the API server's own fairness does the rest.
const (
	queriesPerSecond = 50
	burst            = 200
)

// Connect returns a client that knows Domus' kinds, and Events.
func Connect(config *genericclioptions.ConfigFlags) (client.WithWatch, error) {
	loaded, err := config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	cfg := rest.CopyConfig(loaded)
	cfg.QPS, cfg.Burst = queriesPerSecond, burst
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return c, nil
}

// Scheme returns the kinds that virtctl reads and writes.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering API types: %w", err)
		}
	}
	return scheme, nil
}

// Namespace is the one that a command works in, and whether the user named it.
type Namespace struct {
	Name     string
	Explicit bool
}

// NamespaceOf returns the namespace of the command line or else the kubeconfig.
func NamespaceOf(config *genericclioptions.ConfigFlags) (Namespace, error) {
	name, explicit, err := config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return Namespace{}, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return Namespace{Name: name, Explicit: explicit}, nil
}
