// Package component says how each process of an embedded cluster is started:
// its arguments and its configuration file. It decides; others start.
package component

import (
	"fmt"
	"path/filepath"
	"strconv"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
)

// Names of the components, in the order in which they are started.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	Scheduler         = "vm-scheduler"
	Host              = "host"
	ExecutorReal      = "vm-executor-real"
	ExecutorSimulated = "vm-executor-simulated"
	// SecondHost and SecondExecutor are there when two hosts have real guests.
	SecondHost     = "host-2"
	SecondExecutor = "vm-executor-real-2"
)

// Names lists the components in the order in which they are started.
func Names() []string {
	return []string{Etcd, APIServer, Host, SecondHost, Scheduler, ExecutorReal, SecondExecutor, ExecutorSimulated}
}

// Ports are TCP ports on loopback, chosen once for a cluster.
type Ports struct {
	Etcd             int `json:"etcd"`
	EtcdPeer         int `json:"etcdPeer"`
	APIServer        int `json:"apiServer"`
	Scheduler        int `json:"scheduler"`
	Webhook          int `json:"webhook"`
	RealHealth       int `json:"realHealth"`
	RealMetrics      int `json:"realMetrics"`
	SimulatedHealth  int `json:"simulatedHealth"`
	SimulatedMetrics int `json:"simulatedMetrics"`
	SecondHealth     int `json:"secondHealth"`
	SecondMetrics    int `json:"secondMetrics"`
}

// APIServerURL is where the API server listens.
func (p Ports) APIServerURL() string { return url(p.APIServer) }

// WebhookURL is where vm-scheduler answers for admission, with the path of the
// service it stands for.
func (p Ports) WebhookURL(path string) string { return url(p.Webhook) + path }

// Address is a port on loopback.
func Address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

func url(port int) string { return "https://" + Address(port) }

// Files are the certificates and keys the components read.
type Files struct {
	EtcdCA, EtcdCert, EtcdKey              string
	EtcdClientCert, EtcdClientKey          string
	ClusterCA, APIServerCert, APIServerKey string
	FrontProxyCA, ServiceAccountKey        string
}

// Builder makes the processes' specifications.
type Builder struct {
	// Bin holds the project's programs, Tools the Kubernetes ones.
	Bin, Tools string
	Layout     layout.Layout
	Ports      Ports
	Files      Files
}

func (b Builder) spec(name, path string, args []string, inputs ...string) proc.Spec {
	return proc.Spec{
		Name: name, Path: path, Args: args, Inputs: inputs,
		LogFile: b.Layout.Log(name), RecordFile: b.Layout.PID(name),
	}
}

// groups turns on groups of VMs, placed together or not at all: off by default
// in Kubernetes 1.37.
const groups = "--feature-gates=GenericWorkload=true"

// Etcd listens on loopback, and only to bearers of a certificate of its own
// authority: other users of the machine must not get past the API server.
func (b Builder) Etcd() proc.Spec {
	client, peer, f := url(b.Ports.Etcd), url(b.Ports.EtcdPeer), b.Files
	return b.spec(Etcd, filepath.Join(b.Tools, "etcd"), []string{
		"--name=domus", "--data-dir=" + b.Layout.Data(Etcd), "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=domus=" + peer,
		"--cert-file=" + f.EtcdCert, "--key-file=" + f.EtcdKey,
		"--trusted-ca-file=" + f.EtcdCA, "--client-cert-auth",
		"--peer-cert-file=" + f.EtcdCert, "--peer-key-file=" + f.EtcdKey,
		"--peer-trusted-ca-file=" + f.EtcdCA, "--peer-client-cert-auth",
	})
}

// APIServer runs with RBAC and the audit log on, and serves PodGroups. Three
// admission plugins are off, since nothing here does the other half of their
// work, which is kube-controller-manager's: ServiceAccount wants a token for
// each namespace, TaintNodesByCondition taints a new Node until something finds
// it ready, and PodGroupProtection keeps a deleted PodGroup until something
// finds it unused.
func (b Builder) APIServer() proc.Spec {
	f, policy := b.Files, b.Layout.Config(AuditPolicyFile)
	return b.spec(APIServer, filepath.Join(b.Tools, "kube-apiserver"), []string{
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(b.Ports.APIServer),
		"--advertise-address=127.0.0.1",
		// Loopback cannot be an endpoint of the service 'kubernetes', and no pod asks.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--etcd-servers=" + url(b.Ports.Etcd), "--etcd-cafile=" + f.EtcdCA,
		"--etcd-certfile=" + f.EtcdClientCert, "--etcd-keyfile=" + f.EtcdClientKey,
		"--client-ca-file=" + f.ClusterCA,
		// No proxy stands in front; delegated authentication asks for its authority.
		"--requestheader-client-ca-file=" + f.FrontProxyCA, "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--tls-cert-file=" + f.APIServerCert, "--tls-private-key-file=" + f.APIServerKey,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + f.ServiceAccountKey,
		"--service-account-signing-key-file=" + f.ServiceAccountKey,
		"--authorization-mode=RBAC", "--anonymous-auth=false", "--profiling=false",
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,PodGroupProtection",
		groups, "--runtime-config=scheduling.k8s.io/v1beta1=true",
		"--audit-policy-file=" + policy, "--audit-log-path=" + b.Layout.AuditLog(),
		// At most five files of 64 MB.
		"--audit-log-maxsize=64", "--audit-log-maxbackup=4",
	}, policy)
}

// Scheduler runs vm-scheduler with the webhook.
func (b Builder) Scheduler() proc.Spec {
	kubeconfig := b.Layout.Kubeconfig(Scheduler)
	return b.spec(Scheduler, filepath.Join(b.Bin, "vm-scheduler"), []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(b.Ports.Scheduler),
		"--cert-dir=" + b.Layout.Data(Scheduler),
		"--leader-elect=true",
		groups,
		"--webhook-port=" + strconv.Itoa(b.Ports.Webhook),
		"--webhook-bind-address=127.0.0.1",
	}, kubeconfig)
}

// Executor runs a vm-executor with the named component's configuration file.
func (b Builder) Executor(name string) proc.Spec {
	config := b.Layout.Config(name + ".yaml")
	return b.spec(name, filepath.Join(b.Bin, "vm-executor"), []string{"--config=" + config}, config)
}

// RealNode is the Node of the host with real guests.
const RealNode = "real-1"

// SecondNode is the Node of the second one.
const SecondNode = "real-2"

// SimulatedNode is the Node of the i-th simulated host, from 1.
func SimulatedNode(i int) string { return fmt.Sprintf("sim-%03d", i) }
