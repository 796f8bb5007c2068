package placementmap

import (
	"crypto/subtle"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
)

// passed are the headers of the browser that vm-scheduler hears: none that says who
// the user is, which the transport does.
var passed = []string{"Accept", "Accept-Encoding", "Last-Event-Id"}

// newProxy returns a handler of what lies below /token/, on a port of loopback. It
// refuses a request that a page of others could have made the browser send: the
// address has a token that they do not know, the Host must be loopback's, whatever a
// name that they own leads to, and the browser must not say that another site asks.
func newProxy(to *target, token, port string) http.Handler {
	hosts := []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("localhost", port)}
	forward := &httputil.ReverseProxy{
		Transport: to.transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			_, below, _ := below(r.In.URL.Path)
			out := *to.url
			out.Path += below
			out.RawQuery = r.In.URL.RawQuery
			r.Out.URL, r.Out.Host = &out, to.url.Host
			r.Out.Header = http.Header{}
			for _, name := range passed {
				if values := r.In.Header.Values(name); len(values) > 0 {
					r.Out.Header[name] = values
				}
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Set-Cookie")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			say(w, http.StatusBadGateway, "vm-scheduler does not answer: "+err.Error())
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Referrer-Policy", "no-referrer")
		given, what, ok := below(r.URL.Path)
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case !slices.Contains(hosts, r.Host):
			say(w, http.StatusMisdirectedRequest, "the page is served as http://127.0.0.1 alone")
		// All of the map lies in one folder.
		case !ok || strings.Contains(what, "/") || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1:
			say(w, http.StatusNotFound, "there is nothing here: use the address that virtctl map has printed")
		case site != "" && site != "same-origin" && site != "none":
			say(w, http.StatusForbidden, "another site asks")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			say(w, http.StatusMethodNotAllowed, "the map is to be looked at alone")
		default:
			forward.ServeHTTP(w, r)
		}
	})
}

// below cuts /token/what into token and what.
func below(path string) (token, what string, ok bool) {
	return strings.Cut(strings.TrimPrefix(path, "/"), "/")
}

func say(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A browser that has gone needs no answer.
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}
