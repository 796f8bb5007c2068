package placementmap

import (
	"bufio"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/virtctl/failure"
)

// credentials stand for those of a kubeconfig.
type credentials struct{}

func (credentials) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer secret")
	return http.DefaultTransport.RoundTrip(r)
}

// newPage serves scheduler through a proxy, and returns the page's address and a
// function that asks for it with changes.
func newPage(t *testing.T, scheduler http.HandlerFunc) (*url.URL, func(method, path string, change ...func(*http.Request)) answered) {
	t.Helper()
	behind := httptest.NewServer(scheduler)
	t.Cleanup(behind.Close)
	at, err := url.Parse(behind.URL + mapPath)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(nil)
	_, port, _ := strings.Cut(front.Listener.Addr().String(), ":")
	front.Config.Handler = newProxy(&target{url: at, transport: credentials{}}, "token", port)
	front.Start()
	t.Cleanup(front.Close)
	page, err := url.Parse(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	return page, func(method, path string, change ...func(*http.Request)) answered {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, front.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range change {
			f(r)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return answered{response.StatusCode, response.Status, response.Header, response.Body}
	}
}

// answered is a response, whose body is closed when the test ends.
type answered struct {
	StatusCode int
	Status     string
	Header     http.Header
	Body       io.Reader
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestThePageIsVMSchedulersWithTheUsersCredentials(t *testing.T) {
	var got *http.Request
	_, ask := newPage(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(w, "the map")
	})
	response := ask(http.MethodGet, "/token/why?namespace=a&name=b", with("Accept-Encoding", "gzip"), with("Authorization", "Bearer of-the-page"),
		with("Cookie", "other=site"), with("X-Remote-User", "admin"), with("X-Forwarded-For", "1.2.3.4"), with("Origin", "http://127.0.0.1:1"), with("Last-Event-ID", "p.7"), with("Sec-Fetch-Site", "same-origin"))
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || string(body) != "the map" || response.Header.Get("Content-Security-Policy") == "" || response.Header.Get("Set-Cookie") != "" {
		t.Fatalf("%s %v %s", response.Status, response.Header, body)
	}
	if got.URL.String() != "/placement-map/why?namespace=a&name=b" {
		t.Errorf("vm-scheduler is asked for %s", got.URL)
	}
	got.Header.Del("User-Agent")
	want := http.Header{"Authorization": {"Bearer secret"}, "Accept-Encoding": {"gzip"}, "Last-Event-Id": {"p.7"}}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("vm-scheduler hears: %s", diff)
	}
}

func TestRequestsThatOthersCouldMakeAreRefused(t *testing.T) {
	asked := 0
	page, ask := newPage(t, func(http.ResponseWriter, *http.Request) { asked++ })
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for name, test := range map[string]struct {
		method, path string
		change       func(*http.Request)
		want         int
	}{
		"a name of theirs that leads here":  {http.MethodGet, "/token/", host("evil.example:" + page.Port()), http.StatusMisdirectedRequest},
		"loopback with another port":        {http.MethodGet, "/token/", host("127.0.0.1:1"), http.StatusMisdirectedRequest},
		"no Host":                           {http.MethodGet, "/token/", host("127.0.0.1"), http.StatusMisdirectedRequest},
		"without the token":                 {http.MethodGet, "/", nil, http.StatusNotFound},
		"with a part of it":                 {http.MethodGet, "/toke/state", nil, http.StatusNotFound},
		"the token without a slash":         {http.MethodGet, "/token", nil, http.StatusNotFound},
		"from another site that knows it":   {http.MethodGet, "/token/state", with("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"from another port of this machine": {http.MethodGet, "/token/state", with("Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		"a write":                           {http.MethodPost, "/token/state", nil, http.StatusMethodNotAllowed},
		"what vm-scheduler has elsewhere":   {http.MethodGet, "/token/../metrics", nil, http.StatusNotFound},
		"the same, written another way":     {http.MethodGet, "/token/%2e%2e%2fmetrics", nil, http.StatusNotFound},
		"another host, by an absolute path": {http.MethodGet, "/token//evil.example/", nil, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			change := test.change
			if change == nil {
				change = func(*http.Request) {}
			}
			if response := ask(test.method, test.path, change); response.StatusCode != test.want {
				t.Errorf("%s, want %d", response.Status, test.want)
			}
		})
	}
	if asked > 0 {
		t.Errorf("vm-scheduler was asked %d times", asked)
	}
	if response := ask(http.MethodGet, "/token/", host("localhost:"+page.Port())); response.StatusCode != http.StatusOK {
		t.Errorf("as localhost: %s", response.Status)
	}
}

func TestEventsPassAsTheyCome(t *testing.T) {
	goOn := make(chan struct{})
	_, ask := newPage(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "data: 2\n\n")
	})
	lines := make(chan string)
	body := bufio.NewReader(ask(http.MethodGet, "/token/events").Body)
	go func() {
		for {
			line, err := body.ReadString('\n')
			if err != nil {
				close(lines)
				return
			}
			if line != "\n" {
				lines <- line
			}
		}
	}()
	select {
	case line := <-lines:
		if line != "data: 1\n" {
			t.Errorf("%q", line)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the first event is held back")
	}
	close(goOn)
	if line := <-lines; line != "data: 2\n" {
		t.Errorf("%q", line)
	}
}

func TestASchedulerThatIsAwayIsSaidSo(t *testing.T) {
	front := httptest.NewUnstartedServer(nil)
	_, port, _ := strings.Cut(front.Listener.Addr().String(), ":")
	front.Config.Handler = newProxy(&target{url: &url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: mapPath}, transport: http.DefaultTransport}, "token", port)
	front.Start()
	defer front.Close()
	response, err := http.Get(front.URL + "/token/state")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), "vm-scheduler does not answer") {
		t.Errorf("%s: %s", response.Status, body)
	}
}

func TestWhatIsWrongIsSaidBeforeThePageIsServed(t *testing.T) {
	answer := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		scheduler http.HandlerFunc
		strange   bool
		want      string
	}{
		"it is another server":      {answer(http.StatusOK, ""), true, "--map-certificate-authority"},
		"nobody is known":           {answer(http.StatusUnauthorized, ""), false, "log in again"},
		"rights are missing":        {answer(http.StatusForbidden, `{"message":"User jane cannot"}`), false, "domus:placement-map-viewer: User jane cannot"},
		"there is no map":           {answer(http.StatusNotFound, ""), false, "older version"},
		"the API server is away":    {answer(http.StatusServiceUnavailable, `{"message":"the API server does not answer"}`), false, "503 Service Unavailable: the API server does not answer"},
		"what answers says no JSON": {answer(http.StatusBadGateway, "no upstream\n"), false, "502 Bad Gateway: no upstream"},
	} {
		t.Run(name, func(t *testing.T) {
			behind := httptest.NewUnstartedServer(test.scheduler)
			behind.Config.ErrorLog = log.New(io.Discard, "", 0)
			behind.StartTLS()
			defer behind.Close()
			at, err := url.Parse(behind.URL + mapPath)
			if err != nil {
				t.Fatal(err)
			}
			to := &target{url: at, transport: behind.Client().Transport}
			if test.strange {
				to.transport = &http.Transport{}
			}
			if err := to.check(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "port-forward") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestWhereTheAPIServerCallsVMScheduler(t *testing.T) {
	service := &admissionregistrationv1.ServiceReference{Namespace: "domus-system", Name: "vm-scheduler-webhook", Path: ptr.To("/validate")}
	other := *service
	other.Port = ptr.To[int32](8443)
	for name, test := range map[string]struct {
		configs []admissionregistrationv1.WebhookClientConfig
		want    string
	}{
		"by URL":                           {[]admissionregistrationv1.WebhookClientConfig{{URL: ptr.To("https://127.0.0.1:9443/validate?timeout=5s"), CABundle: []byte("ca")}}, "https://127.0.0.1:9443"},
		"by Service":                       {[]admissionregistrationv1.WebhookClientConfig{{Service: service, CABundle: []byte("ca")}}, "https://vm-scheduler-webhook.domus-system.svc:443"},
		"by Service and port":              {[]admissionregistrationv1.WebhookClientConfig{{Service: &other, CABundle: []byte("ca")}}, "https://vm-scheduler-webhook.domus-system.svc:8443"},
		"the first that has a certificate": {[]admissionregistrationv1.WebhookClientConfig{{Service: service}, {URL: ptr.To("https://a/b"), CABundle: []byte("ca")}}, "https://a"},
		"by none that has":                 {[]admissionregistrationv1.WebhookClientConfig{{Service: service}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: configuration}}
			for i := range test.configs {
				c.Webhooks = append(c.Webhooks, admissionregistrationv1.ValidatingWebhook{ClientConfig: test.configs[i]})
			}
			got, authority, err := called(c)
			if got != test.want || (err == nil) != (test.want != "") || err == nil && string(authority) != "ca" {
				t.Errorf("%q, %q, %v; want %q", got, authority, err, test.want)
			}
		})
	}
}

func TestCredentialsGoToNobodyElse(t *testing.T) {
	for name, test := range map[string]struct {
		options options
		config  rest.Config
		want    string
	}{
		"without TLS":           {options{server: "http://localhost:9443", authority: "/dev/null"}, rest.Config{}, "go over TLS alone"},
		"without a scheme":      {options{server: "localhost:9443", authority: "/dev/null"}, rest.Config{}, "give a URL such as"},
		"with a user":           {options{server: "https://a:b@localhost:9443", authority: "/dev/null"}, rest.Config{}, "give a URL such as"},
		"of somebody else":      {options{server: "https://localhost:9443", authority: "/dev/null"}, rest.Config{Impersonate: rest.ImpersonationConfig{UserName: "jane"}}, "--as"},
		"without the file":      {options{server: "https://localhost:9443", authority: "/nowhere"}, rest.Config{}, "--map-certificate-authority"},
		"with a file of others": {options{server: "https://localhost:9443", authority: "/dev/null"}, rest.Config{}, "no certificate in the file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.options.find(t.Context(), &test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) || failure.CodeOf(err) != failure.Misused {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
