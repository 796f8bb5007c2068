package placementmap

import (
	"compress/gzip"
	"embed"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Path is where the map is served, and what a viewer needs a nonResourceURL rule
// for.
const Path = "/placement-map/"

//go:embed assets
var assets embed.FS

// Options is what a map is served with.
type Options struct {
	Fleet *Fleet
	// Authenticator tells who asks, Authorizer what they may.
	Authenticator authenticator.Request
	Authorizer    authorizer.UnconditionalAuthorizer
	// Client reads one VM as the API server has it.
	Client client.Reader
	// Explainer says where a VM would go and why.
	Explainer Explainer
}

// server serves the map.
type server struct {
	Options
	// process tells revisions of this process from those of another.
	process string
	times   times
	viewers atomic.Int64
	// whys has a token for each question about a VM that may be asked at once.
	whys chan struct{}
}

// times are those that tests shorten.
type times struct {
	// together is how long changes are gathered for one event.
	together time.Duration
	// beat is how often a viewer without news hears that the server is there.
	beat time.Duration
	// rights is how often a viewer's rights are asked about anew.
	rights time.Duration
	// stay is after how long a viewer has to say again who they are.
	stay time.Duration
	// write is how long a viewer may take to read an event.
	write time.Duration
	// why is how long an answer may take.
	why time.Duration
}

const (
	// mostViewers bounds how many follow the map at once. Each holds a connection and
	// a revision.
	mostViewers = 200
	// mostWhys bounds how many questions about VMs wait for vm-scheduler's answer.
	mostWhys = 8
	// mostItems bounds an event.
	mostItems = 500
)

// NewHandler returns what serves Path and below.
func NewHandler(o Options) http.Handler { return newServer(o).handler() }

func newServer(o Options) *server {
	return &server{
		Options: o, process: uuid.NewString(), whys: make(chan struct{}, mostWhys),
		times: times{
			together: 250 * time.Millisecond, beat: 15 * time.Second, rights: 30 * time.Second,
			stay: 10 * time.Minute, write: 30 * time.Second, why: 25 * time.Second,
		},
	}
}

// handler asks, before anything is served, who the viewer is and whether they may
// get the path.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"{$}", s.asset("index.html"))
	for _, name := range []string{"map.js", "picture.js", "details.js", "words.js", "map.css", "icon.svg"} {
		mux.HandleFunc("GET "+Path+name, s.asset(name))
	}
	mux.HandleFunc("GET "+Path+"state", s.state)
	mux.HandleFunc("GET "+Path+"events", s.events)
	mux.HandleFunc("GET "+Path+"why", s.why)
	return guarded(s.admit(mux))
}

// guarded has browsers run nothing that is not the map's own, and keep nothing.
func guarded(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		handler.ServeHTTP(w, r)
	})
}

func (s *server) asset(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		data, err := assets.ReadFile("assets/" + name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
		// A viewer who has gone needs no page.
		_, _ = w.Write(data)
	}
}

// sight looks up what the viewer may list, and answers where that cannot be told.
func (s *server) sight(w http.ResponseWriter, r *http.Request) *sight {
	viewer, ok := request.UserFrom(r.Context())
	if !ok {
		refuse(w, http.StatusUnauthorized, "nobody is named")
		return nil
	}
	seen, err := look(r.Context(), s.Authorizer, viewer)
	if err != nil {
		fail(w, r, err)
		return nil
	}
	return seen
}

// state answers with all that the viewer may list, and with the revision from which
// to follow.
func (s *server) state(w http.ResponseWriter, r *http.Request) {
	if !s.ready(w) {
		return
	}
	seen := s.sight(w, r)
	if seen == nil {
		return
	}
	items, revision := s.Fleet.journal.all()
	if err := seen.learn(r.Context(), namespacesOf(items)); err != nil {
		fail(w, r, err)
		return
	}
	if seen.nothing() {
		refuse(w, http.StatusForbidden, "you may list neither hypervisors, nor virtualmachines in any namespace that has some: an administrator binds you to the ClusterRole domus:placement-map-viewer, and to view where your VMs are")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Vary", "Accept-Encoding")
	out := io.Writer(w)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		// The time that more would take is the viewer's.
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		defer func() { _ = zip.Close() }()
		out = zip
	}
	controller := http.NewResponseController(w)
	_ = controller.SetWriteDeadline(time.Now().Add(s.times.write))
	// A viewer who has gone needs no answer.
	_ = writeDocument(out, s.cursor(revision), seen, items)
}

func (s *server) ready(w http.ResponseWriter) bool {
	if s.Fleet.synced.Load() {
		return true
	}
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, "the hosts and VMs have not all been read yet: ask again in a moment")
	return false
}

// writeDocument writes the cursor up to which items tell everything, and of items
// what may be seen. What is there is written as it is kept.
func writeDocument(out io.Writer, cursor string, seen *sight, items []item) error {
	var err error
	write := func(data []byte) {
		if err == nil {
			_, err = out.Write(data)
		}
	}
	section := func(of func(*item) bool, data func(*item) []byte) {
		first := true
		for i := range items {
			if !of(&items[i]) || !seen.sees(items[i].key) {
				continue
			}
			if !first {
				write([]byte{','})
			}
			first = false
			write(data(&items[i]))
		}
	}
	whole := func(i *item) []byte { return i.data }
	rights, _ := json.Marshal(map[string]bool{"hosts": seen.hosts, "everywhere": seen.everywhere})
	write([]byte(`{"cursor":"` + cursor + `","rights":` + string(rights) + `,"hosts":[`))
	section(func(i *item) bool { return i.data != nil && i.key.namespace == "" }, whole)
	write([]byte(`],"vms":[`))
	section(func(i *item) bool { return i.data != nil && i.key.namespace != "" }, whole)
	write([]byte(`],"gone":[`))
	section(func(i *item) bool { return i.data == nil }, func(i *item) []byte {
		data, _ := json.Marshal([2]string{i.key.namespace, i.key.name})
		return data
	})
	write([]byte(`]}`))
	return err
}

// refuse answers in words, as JSON.
func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}
