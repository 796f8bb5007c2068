package deploy

import (
	"crypto"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// eventually is how long anything that must happen may take. The machine may be
// small and busy.
const eventually = 3 * time.Minute

// everyRequest records who asked for what, and whether it was allowed.
const everyRequest = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:domus-system:vm-scheduler", "system:serviceaccount:domus-system:vm-executor"]
- level: None
`

// plane is a real API server, with RBAC and admission as a cluster has them. Services
// are called by their endpoints, since no node's network does it.
type plane struct {
	config     *rest.Config
	client     client.WithWatch
	clientset  kubernetes.Interface
	kubeconfig string
	auditLog   string
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	dir := t.TempDir()
	policy := filepath.Join(dir, "audit-policy.yaml")
	write(t, policy, everyRequest)
	p := &plane{auditLog: filepath.Join(dir, "audit.log"), kubeconfig: filepath.Join(dir, "kubeconfig")}
	assets, err := filepath.Abs(tools)
	if err != nil {
		t.Fatal(err)
	}
	env := &envtest.Environment{BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: eventually, ControlPlaneStopTimeout: time.Minute}
	env.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", p.auditLog).
		Set("enable-aggregator-routing", "true").
		// Of a proxy that does not stand in front: delegated authentication asks for its
		// authority in any cluster.
		Set("requestheader-client-ca-file", proxyAuthority(t, dir)).
		Set("authorization-mode", "RBAC").
		// What others do of a cluster's work is missing here: kube-controller-manager
		// makes tokens' ConfigMaps and finds Nodes ready.
		Append("disable-admission-plugins", "ServiceAccount", "TaintNodesByCondition")
	if p.config, err = env.Start(); err != nil {
		t.Fatal("starting the control plane:", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error("stopping the control plane:", err)
		}
	})
	p.config.QPS, p.config.Burst = 200, 400
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	if p.client, err = client.NewWithWatch(p.config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	if p.clientset, err = kubernetes.NewForConfig(p.config); err != nil {
		t.Fatal(err)
	}
	admin, err := env.ControlPlane.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, p.config)
	if err != nil {
		t.Fatal(err)
	}
	content, err := admin.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.kubeconfig, string(content))
	return p
}

// proxyAuthority is the file of a certificate by which nothing was signed.
func proxyAuthority(t *testing.T, dir string) string {
	t.Helper()
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := keyutil.ParsePrivateKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "front-proxy"}, signer.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	content, err := cert.EncodeCertificates(authority)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "front-proxy-ca.crt")
	write(t, path, string(content))
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// address is where the API server listens, and port which one that is.
func (p *plane) address(t *testing.T) (address string, port int) {
	t.Helper()
	host := p.config.Host
	if u, err := url.Parse(host); err == nil && u.Host != "" {
		host = u.Host
	}
	_, text, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(text, &port); err != nil {
		t.Fatal(err)
	}
	return host, port
}

// apply is what an installer does: a field that the API does not know is an error, and
// so is a warning.
func (p *plane) apply(t *testing.T, documents []byte) {
	t.Helper()
	var last string
	p.until(t, "what is shipped is applied", func() (string, bool) {
		// The API server makes namespaces of its own, and serves new kinds, after a while.
		_, complaint, err := try(documents, kubectl(), "--kubeconfig", p.kubeconfig, "apply", "--server-side", "--validate=strict", "--warnings-as-errors", "-f", "-")
		last = complaint
		return last, err == nil
	})
}

// until waits for what must happen.
func (p *plane) until(t *testing.T, what string, happened func() (saw string, ok bool)) {
	t.Helper()
	deadline := time.Now().Add(eventually)
	for {
		saw, ok := happened()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not seen in %s: %s\nlast seen: %s", eventually, what, saw)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("not seen: %s", what)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// event is what is looked at of an audited request.
type event struct {
	Verb           string
	RequestURI     string
	UserAgent      string
	User           struct{ Username string }
	ObjectRef      struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	Annotations    map[string]string
	ResponseStatus struct{ Code int }
}

// audited are the requests of Domus' programs.
func (p *plane) audited(t *testing.T) []event {
	t.Helper()
	file, err := os.Open(p.auditLog)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var all []event
	for decoder := json.NewDecoder(file); decoder.More(); {
		var e event
		if err := decoder.Decode(&e); err != nil {
			t.Fatal("reading the audit log:", err)
		}
		all = append(all, e)
	}
	return all
}
