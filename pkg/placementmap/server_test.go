package placementmap

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// informer is one that a test speaks for.
type informer struct{ handlers []cache.ResourceEventHandler }

func (i *informer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.handlers = append(i.handlers, h)
	return registration{}, nil
}

func (i *informer) set(obj any)    { i.handlers[0].OnUpdate(nil, obj) }
func (i *informer) remove(obj any) { i.handlers[0].OnDelete(cache.DeletedFinalStateUnknown{Obj: obj}) }

type registration struct {
	cache.ResourceEventHandlerRegistration
}

func (registration) HasSynced() bool { return true }

// rights are what users may, each as "verb resource namespace".
type rights struct {
	mu     sync.Mutex
	byUser map[string][]string
	err    error
}

func (r *rights) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	may := r.byUser[a.GetUser().GetName()]
	if !a.IsResourceRequest() {
		if a.GetVerb() == "get" && strings.HasPrefix(a.GetPath(), Path) && len(may) > 0 {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	}
	if r.err != nil {
		return authorizer.DecisionNoOpinion, "", r.err
	}
	asked := strings.TrimSpace(a.GetVerb() + " " + a.GetResource() + " " + a.GetNamespace())
	if a.GetAPIGroup() == "domus.dev" && slices.Contains(may, asked) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (r *rights) give(name string, may ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byUser[name] = may
}

type explainer struct{ err error }

func (e explainer) Review(_ context.Context, vm *v1alpha1.VirtualMachine, spec *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error) {
	return &v1alpha1.PlacementReviewStatus{Message: "about " + vm.Name + ": " + string(spec.Question)}, e.err
}

// world is a map of hosts h and i with VMs of namespaces a and b, served over TCP.
type world struct {
	t                      *testing.T
	fleet                  *Fleet
	vms, hypervisors, node *informer
	rights                 *rights
	server                 *server
	http                   *httptest.Server
}

const (
	onlyPath   = "nothing"
	listHosts  = "list hypervisors"
	listAll    = "list virtualmachines"
	listA      = "list virtualmachines a"
	hostile    = `<img src=x onerror="alert(1)">`
	everything = "admin"
)

func newWorld(t *testing.T, change ...func(*server)) *world {
	t.Helper()
	w := &world{t: t, vms: &informer{}, hypervisors: &informer{}, node: &informer{}, rights: &rights{byUser: map[string][]string{everything: {listHosts, listAll}}}}
	var err error
	if w.fleet, err = NewFleet(w.vms, w.hypervisors, w.node); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	there := []client.Object{}
	for _, name := range []string{"h", "i"} {
		hv := newHypervisor(name)
		w.hypervisors.set(hv)
		w.node.set(newNode(hv))
	}
	for _, vm := range []*v1alpha1.VirtualMachine{on(newVM("a", "one", 2, 2), "h"), on(newVM("b", "two", 2, 2), "h"), newVM("b", "waits", 99, 1)} {
		vm.Labels = map[string]string{"said": "by-user"}
		vm.Status.Message = hostile
		w.vms.set(vm)
		there = append(there, vm)
	}
	w.update()
	w.fleet.synced.Store(true)
	w.server = newServer(Options{
		Fleet:      w.fleet,
		Authorizer: w.rights,
		Authenticator: authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			name := r.Header.Get("X-Test-User")
			return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, name != "", nil
		}),
		Client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(there...).Build(),
		Explainer: explainer{},
	})
	w.server.times.together = 10 * time.Millisecond
	for _, f := range change {
		f(w.server)
	}
	w.http = httptest.NewServer(w.server.handler())
	t.Cleanup(func() {
		w.http.CloseClientConnections()
		w.http.Close()
	})
	return w
}

func (w *world) update() {
	w.t.Helper()
	if err := w.fleet.update(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) request(name, path string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.http.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if name != "" {
		r.Header.Set("X-Test-User", name)
	}
	return r
}

// get returns the code and the body.
func (w *world) get(name, path string) (int, string, http.Header) {
	w.t.Helper()
	response, err := http.DefaultClient.Do(w.request(name, path))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body strings.Builder
	if _, err := bufio.NewReader(response.Body).WriteTo(&body); err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, body.String(), response.Header
}

// document is what state and events tell.
type document struct {
	Cursor string
	Rights map[string]bool
	Hosts  []Host
	VMs    []VM
	Gone   [][2]string
}

func (d document) names() []string {
	var out []string
	for i := range d.Hosts {
		out = append(out, d.Hosts[i].Name)
	}
	for i := range d.VMs {
		out = append(out, d.VMs[i].Namespace+"/"+d.VMs[i].Name)
	}
	for _, g := range d.Gone {
		out = append(out, "-"+g[0]+"/"+g[1])
	}
	slices.Sort(out)
	return out
}

func (w *world) state(name string) document {
	w.t.Helper()
	code, body, _ := w.get(name, Path+"state")
	if code != http.StatusOK {
		w.t.Fatalf("state for %s: %d %s", name, code, body)
	}
	return read(w.t, body)
}

func read(t *testing.T, body string) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return d
}

func TestAViewerSeesWhatTheyMayList(t *testing.T) {
	for name, test := range map[string]struct {
		may  []string
		want []string
	}{
		"everything":                    {[]string{listHosts, listAll}, []string{"a/one", "b/two", "b/waits", "h", "i"}},
		"hosts alone":                   {[]string{listHosts}, []string{"h", "i"}},
		"VMs alone":                     {[]string{listAll}, []string{"a/one", "b/two", "b/waits"}},
		"one namespace":                 {[]string{listA}, []string{"a/one"}},
		"hosts and a namespace":         {[]string{listHosts, listA}, []string{"a/one", "h", "i"}},
		"to get is not to list":         {[]string{listA, "get virtualmachines b"}, []string{"a/one"}},
		"another group's VMs are other": {[]string{listA, "list pods b"}, []string{"a/one"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rights.give("jane", test.may...)
			got := w.state("jane")
			if diff := cmp.Diff(test.want, got.names()); diff != "" {
				t.Error(diff)
			}
			for i := range got.Hosts {
				// How full a host is does not depend on who looks.
				if h := got.Hosts[i]; h.Name == "h" && (h.VMs != 2 || h.CPU[0] != 4) {
					t.Errorf("%+v", h)
				}
			}
		})
	}
}

func TestWhoIsRefused(t *testing.T) {
	w := newWorld(t)
	w.rights.give("pathless")
	w.rights.give("blind", onlyPath)
	for _, path := range []string{"", "map.js", "state", "events", "why?namespace=a&name=one"} {
		for name, want := range map[string]int{"": http.StatusUnauthorized, "pathless": http.StatusForbidden} {
			if code, body, _ := w.get(name, Path+path); code != want || strings.Contains(body, "one") && !strings.Contains(body, "forbidden") {
				t.Errorf("%q gets %q: %d %s, want %d", name, path, code, body, want)
			}
		}
	}
	if code, body, _ := w.get("blind", Path+"state"); code != http.StatusForbidden || !strings.Contains(body, "domus:placement-map-viewer") {
		t.Errorf("who may list nothing: %d %s", code, body)
	}
	if code, _, _ := w.get("blind", Path+"why?namespace=a&name=one"); code != http.StatusForbidden {
		t.Errorf("why: %d", code)
	}
	post := w.request(everything, Path+"state")
	post.Method = http.MethodPost
	response, err := http.DefaultClient.Do(post)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("a POST: %s", response.Status)
	}
	w.rights.err = errors.New("rights are unreadable")
	if code, body, _ := w.get(everything, Path+"state"); code != http.StatusInternalServerError || !strings.Contains(body, "unreadable") {
		t.Errorf("rights that cannot be asked about: %d %s", code, body)
	}
}

func TestAnAPIServerThatIsAwayIsNoViewerWhoIsUnknown(t *testing.T) {
	away := &url.Error{Op: "Post", URL: "https://api.test/tokenreviews", Err: errors.New("connection refused")}
	w := newWorld(t, func(s *server) {
		known := s.Authenticator
		s.Authenticator = authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			switch r.Header.Get("X-Test-User") {
			case "token":
				return nil, false, utilerrors.NewAggregate([]error{errors.New("no certificate"), away})
			case "expired":
				return nil, false, utilerrors.NewAggregate([]error{errors.New("token has expired")})
			}
			return known.AuthenticateRequest(r)
		})
	})
	if code, body, _ := w.get("token", Path); code != http.StatusServiceUnavailable || !strings.Contains(body, "does not answer") {
		t.Errorf("%d %s", code, body)
	}
	if code, body, _ := w.get("expired", Path); code != http.StatusUnauthorized {
		t.Errorf("a token that is over: %d %s", code, body)
	}
	w.rights.err = away
	for _, path := range []string{"state", "why?namespace=a&name=one"} {
		if code, body, _ := w.get(everything, Path+path); code != http.StatusServiceUnavailable || !strings.Contains(body, "does not answer") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestThePageRunsNothingOfOthers(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"", "map.js", "map.css", "icon.svg", "state"} {
		code, body, header := w.get(everything, Path+path)
		csp := header.Get("Content-Security-Policy")
		if code != http.StatusOK || len(body) == 0 || !strings.Contains(csp, "default-src 'none'; script-src 'self'") || strings.Contains(csp, "unsafe") ||
			header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d, %v", path, code, header)
		}
		if path == "state" && strings.Contains(body, "<img") {
			t.Errorf("markup in %s", body)
		}
	}
	for _, name := range []string{"map.js", "picture.js", "details.js", "words.js"} {
		_, body, header := w.get(everything, Path+name)
		if !strings.HasPrefix(header.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s is %s", name, header.Get("Content-Type"))
		}
		for _, never := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "setAttribute(\"on", "http:", "https:"} {
			if strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), never) {
				t.Errorf("%s has %s", name, never)
			}
		}
	}
}

func TestWhy(t *testing.T) {
	w := newWorld(t)
	w.rights.give("jane", "get virtualmachines a")
	code, body, _ := w.get("jane", Path+"why?namespace=a&name=one")
	var got Why
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	if got.VM.Host != "h" || got.Review == nil || got.Review.Message != "about one: Explain" || got.Status.Message != hostile || strings.Contains(body, "<img") {
		t.Errorf("%s", body)
	}
	for path, want := range map[string]int{
		"why?namespace=b&name=two":           http.StatusForbidden,
		"why?namespace=b&name=gone":          http.StatusForbidden,
		"why?namespace=a&name=gone":          http.StatusNotFound,
		"why?namespace=a&name=" + "..%2Fone": http.StatusBadRequest,
		"why":                                http.StatusBadRequest,
	} {
		if code, body, _ := w.get("jane", Path+path); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	w.server.Explainer = explainer{errors.New("invalid question: spec.schedulerName: none")}
	if code, body, _ := w.get("jane", Path+"why?namespace=a&name=one"); code != http.StatusOK || !strings.Contains(body, "spec.schedulerName: none") || !strings.Contains(body, `"phase":"Running"`) {
		t.Errorf("where there is no answer: %d %s", code, body)
	}
	for range mostWhys {
		w.server.whys <- struct{}{}
	}
	if code, _, header := w.get("jane", Path+"why?namespace=a&name=one"); code != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("one question too many: %d", code)
	}
}

// viewer follows the map.
type viewer struct {
	t      *testing.T
	body   *bufio.Reader
	cancel context.CancelFunc
}

func (w *world) follow(name, cursor string) *viewer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	w.t.Cleanup(cancel)
	response, err := http.DefaultClient.Do(w.request(name, Path+"events?since="+cursor).WithContext(ctx))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("events: %s", response.Status)
	}
	return &viewer{w.t, bufio.NewReader(response.Body), cancel}
}

// next returns the next event and its id.
func (v *viewer) next() (event, id, data string) {
	v.t.Helper()
	for {
		line, err := v.body.ReadString('\n')
		if err != nil {
			return "end", "", err.Error()
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if data != "" {
				return event, id, data
			}
		}
	}
}

func TestChangesArriveWhenTheyHappen(t *testing.T) {
	w := newWorld(t)
	w.rights.give("jane", listA)
	all, some := w.follow(everything, w.state(everything).Cursor), w.follow("jane", w.state("jane").Cursor)
	w.vms.set(on(newVM("b", "waits", 3, 1), "i"))
	w.update()
	_, id, data := all.next()
	got := read(t, data)
	if diff := cmp.Diff([]string{"b/waits", "i"}, got.names()); diff != "" || id != got.Cursor {
		t.Errorf("%s; id %s", diff, id)
	}
	w.vms.remove(newVM("a", "one", 2, 2))
	w.vms.remove(newVM("b", "two", 2, 2))
	w.update()
	_, _, data = some.next()
	if diff := cmp.Diff([]string{"-a/one"}, read(t, data).names()); diff != "" {
		t.Errorf("who may list namespace a alone: %s", diff)
	}
	// Back after a while, with the cursor of then.
	again := w.follow(everything, id)
	_, _, data = again.next()
	if diff := cmp.Diff([]string{"-a/one", "-b/two", "h"}, read(t, data).names()); diff != "" {
		t.Error(diff)
	}
}

func TestANamespaceThatIsNewIsAskedAbout(t *testing.T) {
	w := newWorld(t)
	w.rights.give("jane", listA, "list virtualmachines c")
	v := w.follow("jane", w.state("jane").Cursor)
	w.vms.set(newVM("c", "new", 1, 1))
	w.vms.set(newVM("d", "other", 1, 1))
	w.update()
	_, _, data := v.next()
	if diff := cmp.Diff([]string{"c/new"}, read(t, data).names()); diff != "" {
		t.Error(diff)
	}
}

func TestViewersStartAnew(t *testing.T) {
	w := newWorld(t, func(s *server) { s.times.rights = 20 * time.Millisecond })
	for name, cursor := range map[string]string{"of another process": "other.1", "of nobody": "", "of the future": w.server.process + ".99999"} {
		if event, _, _ := w.follow(everything, cursor).next(); event != "reset" {
			t.Errorf("a cursor %s: %s", name, event)
		}
	}
	w.rights.give("jane", listHosts, listAll)
	v := w.follow("jane", w.state("jane").Cursor)
	w.rights.give("jane", listHosts)
	if event, _, _ := v.next(); event != "reset" {
		t.Errorf("after a right was taken: %s", event)
	}
	w.rights.give("jane", listA)
	v = w.follow("jane", w.state("jane").Cursor)
	w.rights.give("jane", onlyPath)
	if event, _, _ := v.next(); event != "reset" {
		t.Errorf("after the right to a namespace was taken: %s", event)
	}
}

func TestAViewerHasToSayWhoTheyAreNowAndThen(t *testing.T) {
	w := newWorld(t, func(s *server) { s.times.stay = 50 * time.Millisecond })
	if event, _, _ := w.follow(everything, w.state(everything).Cursor).next(); event != "end" {
		t.Errorf("%s", event)
	}
}

// One who does not read keeps nothing and nobody waiting, and loses nothing.
func TestASlowViewer(t *testing.T) {
	w := newWorld(t, func(s *server) { s.times.write = 300 * time.Millisecond })
	cursor := w.state(everything).Cursor
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(1 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %sevents?since=%s HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\n\r\n", Path, cursor); err != nil {
		t.Fatal(err)
	}
	quick := w.follow(everything, cursor)
	// Many times what sockets hold, of a few VMs.
	const vms, rounds = 200, 300
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		events := 0
		for {
			if event, _, _ := quick.next(); event == "end" {
				done <- events
				return
			}
			events++
			select {
			case <-stop:
				quick.cancel()
			default:
			}
		}
	}()
	for round := range rounds {
		for i := range vms {
			vm := newVM("b", fmt.Sprint("vm-", i), int32(round+1), 1)
			vm.Status.Message = strings.Repeat("x", messageLength)
			w.vms.set(vm)
		}
		w.update()
		time.Sleep(5 * time.Millisecond)
	}
	for deadline := time.Now().Add(20 * time.Second); w.server.viewers.Load() > 1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the viewer who does not read is still served")
		}
	}
	if n := len(w.fleet.journal.byKey); n != 2+3+vms {
		t.Errorf("%d documents are kept for them", n)
	}
	close(stop)
	w.vms.set(newVM("b", "last", 1, 1))
	w.update()
	if events := <-done; events < 10 {
		t.Errorf("the other viewer has seen %d events meanwhile", events)
	}
	// The slow one comes back with the cursor of then: each VM once, as it is now.
	late := w.follow(everything, cursor)
	_, _, data := late.next()
	got := read(t, data)
	if len(got.VMs) != vms+1 || got.VMs[0].CPU != rounds {
		t.Errorf("%d VMs, the first of %d vCPUs", len(got.VMs), got.VMs[0].CPU)
	}
}

func TestTooManyViewers(t *testing.T) {
	w := newWorld(t)
	w.server.viewers.Store(mostViewers)
	if code, _, header := w.get(everything, Path+"events?since=x"); code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d", code)
	}
	if n := w.server.viewers.Load(); n != mostViewers {
		t.Errorf("%d viewers are counted", n)
	}
}

func TestNothingIsToldBeforeAllIsRead(t *testing.T) {
	w := newWorld(t)
	w.fleet.synced.Store(false)
	for _, path := range []string{"state", "events"} {
		if code, _, _ := w.get(everything, Path+path); code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", path, code)
		}
	}
	go func() { _ = w.fleet.Start(t.Context()) }()
	for deadline := time.Now().Add(10 * time.Second); !w.fleet.synced.Load(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the informers have delivered all, and it is not told")
		}
	}
}

func TestAHostThatIsGoneIsToldSo(t *testing.T) {
	w := newWorld(t)
	v := w.follow(everything, w.state(everything).Cursor)
	w.hypervisors.remove(newHypervisor("i"))
	w.node.remove(&corev1.Node{})
	w.update()
	_, _, data := v.next()
	if diff := cmp.Diff([]string{"-/i"}, read(t, data).names()); diff != "" {
		t.Error(diff)
	}
}
