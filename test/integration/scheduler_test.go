package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/manifests"
)

type schedulerOptions struct {
	// api is the API server to use; the real one by default.
	api *faultyAPI
	// noWebhook says that it does not serve the webhook. One of several may.
	noWebhook bool
	// leaderElect with fast settings; without it the process leads at once.
	leaderElect bool
	// gangs turns on the feature gate for groups of VMs.
	gangs bool
	// configure changes the shipped configuration, given with --config then.
	configure func(map[string]any)
}

// startScheduler starts a vm-scheduler and waits until it is ready. It is
// killed when the test ends, and its log shown when the test failed.
func startScheduler(t *testing.T, o schedulerOptions) *process {
	t.Helper()
	s := launchScheduler(t, o)
	if !o.leaderElect {
		s.waitLog("Starting to process scheduling queue", "Handlers synced")
	}
	if !o.noWebhook {
		waitWebhook(t)
	}
	return s
}

// launchScheduler is startScheduler without the waiting.
func launchScheduler(t *testing.T, o schedulerOptions) *process {
	t.Helper()
	cfg, err := suite.plane.as("domus:scheduler", "domus:schedulers")
	if err != nil {
		t.Fatal(err)
	}
	if o.api != nil {
		cfg = &rest.Config{Host: o.api.server.URL}
	}
	webhook := suite.plane.webhookPort
	if o.noWebhook {
		webhook = 0
	}
	dir := t.TempDir()
	args := append(servingArgs(t, dir, cfg),
		"--leader-elect="+strconv.FormatBool(o.leaderElect),
		"--leader-elect-lease-duration", "4s", "--leader-elect-renew-deadline", "3s", "--leader-elect-retry-period", "500ms",
		"--webhook-bind-address", "127.0.0.1", "--webhook-port", strconv.Itoa(webhook), "-v", "3",
	)
	if o.gangs {
		args = append(args, "--feature-gates=GenericWorkload=true")
	}
	if o.configure != nil {
		args = append(args, "--config", writeConfig(t, dir, o.configure))
	}
	return launch(t, dir, "vm-scheduler", args...)
}

// servingArgs are the flags by which any kube-scheduler finds the API server
// and serves on loopback.
func servingArgs(t *testing.T, dir string, cfg *rest.Config) []string {
	t.Helper()
	path := filepath.Join(dir, kubeconfigName)
	if err := writeKubeconfig(path, cfg); err != nil {
		t.Fatal(err)
	}
	return []string{
		"--kubeconfig", path, "--authentication-kubeconfig", path, "--authorization-kubeconfig", path,
		"--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(freePort(t)),
	}
}

const kubeconfigName = "kubeconfig"

// writeConfig writes the shipped configuration, changed, and returns its path.
// Of the flags about clients kube-scheduler reads none beside it.
func writeConfig(t *testing.T, dir string, change func(map[string]any)) string {
	t.Helper()
	var config map[string]any
	if err := yaml.Unmarshal(manifests.SchedulerConfig, &config); err != nil {
		t.Fatal(err)
	}
	config["clientConnection"].(map[string]any)["kubeconfig"] = filepath.Join(dir, kubeconfigName)
	change(config)
	data, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeKubeconfig(path string, cfg *rest.Config) error {
	const name = "domus"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{name: {Server: serverURL(cfg), CertificateAuthorityData: cfg.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}},
		Contexts:  map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}}, CurrentContext: name,
	}, path)
}

func serverURL(cfg *rest.Config) string {
	if len(cfg.CAData) > 0 {
		u, _, err := rest.DefaultServerUrlFor(cfg)
		if err == nil {
			return fmt.Sprintf("%s://%s", u.Scheme, u.Host)
		}
	}
	return cfg.Host
}
