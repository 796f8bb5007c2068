package placementmap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"domus.dev/domus/pkg/virtctl/failure"
)

const (
	// mapPath is where vm-scheduler serves the map.
	mapPath = "/placement-map/"
	// configuration says where vm-scheduler is, and what it is trusted by.
	configuration = "vm-scheduler.domus.dev"
)

// target is the vm-scheduler that is asked.
type target struct {
	url       *url.URL
	transport http.RoundTripper
}

// find returns where vm-scheduler is, with a transport that says who the user is.
func (o *options) find(ctx context.Context, loaded *rest.Config) (*target, error) {
	if loaded.Impersonate.UserName != "" || loaded.Impersonate.UID != "" || len(loaded.Impersonate.Groups) > 0 {
		return nil, failure.Usage("--as, --as-uid and --as-group are of no use here: vm-scheduler knows nobody but yourself; use a kubeconfig of theirs")
	}
	address, authority := o.server, []byte(nil)
	var err error
	if o.authority != "" {
		if authority, err = os.ReadFile(o.authority); err != nil {
			return nil, failure.Usage("--map-certificate-authority: %w", err)
		}
	}
	if address == "" || authority == nil {
		called, trusted, err := registered(ctx, loaded)
		if err != nil {
			return nil, err
		}
		if address == "" {
			address = called
		}
		if authority == nil {
			authority = trusted
		}
	}
	at, err := url.Parse(address)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil {
		return nil, failure.Usage("--map-server=%s: give a URL such as https://localhost:9443: your credentials are sent there, and go over TLS alone", address)
	}
	if o.authority != "" && !x509.NewCertPool().AppendCertsFromPEM(authority) {
		return nil, failure.Usage("--map-certificate-authority=%s: there is no certificate in the file: give one in PEM", o.authority)
	}
	// The rest of the kubeconfig's is who the user is.
	cfg := rest.CopyConfig(loaded)
	cfg.Host, cfg.Timeout = at.Host, 0
	cfg.Insecure, cfg.ServerName, cfg.CAFile, cfg.CAData = false, "", "", authority
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials of the kubeconfig: %w", err)
	}
	return &target{url: &url.URL{Scheme: at.Scheme, Host: at.Host, Path: mapPath}, transport: transport}, nil
}

// registered is where the API server calls vm-scheduler, and by which certificate it
// trusts it.
func registered(ctx context.Context, loaded *rest.Config) (address string, authority []byte, err error) {
	client, err := kubernetes.NewForConfig(loaded)
	if err != nil {
		return "", nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	found, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, configuration, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", nil, failure.Refused("looking for vm-scheduler: an administrator binds you to ClusterRole domus:placement-map-viewer, or give --map-server and --map-certificate-authority: %w", err)
	case apierrors.IsNotFound(err):
		return "", nil, fmt.Errorf("looking for vm-scheduler: the cluster has no ValidatingWebhookConfiguration %s: `kubectl apply -k manifests/base`, or give --map-server and --map-certificate-authority", configuration)
	case err != nil:
		return "", nil, failure.API(err, "looking for vm-scheduler")
	}
	return called(found)
}

// called reads the first webhook that has a certificate; all are served at one place.
func called(of *admissionregistrationv1.ValidatingWebhookConfiguration) (address string, authority []byte, err error) {
	for i := range of.Webhooks {
		c := &of.Webhooks[i].ClientConfig
		if len(c.CABundle) == 0 {
			continue
		}
		switch {
		case c.URL != nil:
			at, err := url.Parse(*c.URL)
			if err != nil {
				return "", nil, fmt.Errorf("reading where ValidatingWebhookConfiguration %s leads: %w", of.Name, err)
			}
			return "https://" + at.Host, c.CABundle, nil
		case c.Service != nil:
			port := int32(443)
			if c.Service.Port != nil {
				port = *c.Service.Port
			}
			return fmt.Sprintf("https://%s.%s.svc:%d", c.Service.Name, c.Service.Namespace, port), c.CABundle, nil
		}
	}
	return "", nil, fmt.Errorf("ValidatingWebhookConfiguration %s names no certificate yet: vm-scheduler fills it in when it starts", of.Name)
}

// check asks for the page, so that what is wrong is said here and not in a browser.
func (t *target) check(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String(), nil)
	if err != nil {
		return err
	}
	response, err := t.transport.RoundTrip(request)
	if err != nil {
		var wrong *tls.CertificateVerificationError
		if errors.As(err, &wrong) {
			return fmt.Errorf("vm-scheduler at %s shows another certificate than it is trusted by: give its own by --map-certificate-authority, and see that --map-server leads to vm-scheduler: %w", t.url.Host, err)
		}
		return fmt.Errorf("asking vm-scheduler at %s: where this machine cannot reach it, `kubectl -n domus-system port-forward service/vm-scheduler-webhook 9443:443` and give --map-server https://localhost:9443: %w", t.url.Host, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	said := struct{ Message string }{strings.TrimSpace(string(body))}
	_ = json.Unmarshal(body, &said)
	switch response.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return failure.Refused("vm-scheduler does not know who you are: log in again, or see `kubectl config view`")
	case http.StatusForbidden:
		return failure.Refused("an administrator binds you to ClusterRole domus:placement-map-viewer: %s", said.Message)
	case http.StatusNotFound:
		return fmt.Errorf("vm-scheduler at %s serves no placement map: it is of an older version, or runs with --secure-port=0", t.url.Host)
	}
	return fmt.Errorf("vm-scheduler at %s answers %s: %s", t.url.Host, response.Status, said.Message)
}
