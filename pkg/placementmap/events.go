package placementmap

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cursor names a revision of this process.
func (s *server) cursor(revision uint64) string {
	return s.process + "." + strconv.FormatUint(revision, 10)
}

// revision reads a cursor; it is false for one of another process.
func (s *server) revision(cursor string) (uint64, bool) {
	process, text, _ := strings.Cut(cursor, ".")
	revision, err := strconv.ParseUint(text, 10, 64)
	return revision, err == nil && process == s.process
}

// events are server-sent events: what has changed since a cursor, and goes on
// changing. Event reset says that the viewer is to get the state anew: too much has
// happened since, the process is another, or the viewer's rights have changed.
//
// Between events a viewer holds a revision and nothing else. One who does not read
// keeps a write waiting, until its time is over and the connection is closed; they
// come back with the last cursor and are told what is different by then.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	if !s.ready(w) {
		return
	}
	if s.viewers.Add(1) > mostViewers {
		s.viewers.Add(-1)
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many people look at the map: try again later")
		return
	}
	defer s.viewers.Add(-1)
	seen := s.sight(w, r)
	if seen == nil {
		return
	}
	// Of what they have been shown already they are to hear when they may see it no
	// more.
	if err := seen.learn(r.Context(), s.Fleet.journal.namespaces()); err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	// A browser's own: it comes back where it was.
	cursor := r.Header.Get("Last-Event-ID")
	if cursor == "" {
		cursor = r.URL.Query().Get("since")
	}
	stream := &stream{w: w, controller: http.NewResponseController(w), patience: s.times.write}
	ctx, cancel := context.WithTimeout(r.Context(), s.times.stay)
	defer cancel()
	if stream.send("retry: 1000\n\n") == nil {
		s.follow(ctx, stream, seen, cursor)
	}
}

// follow sends events until ctx ends or the viewer is not to be told more.
func (s *server) follow(ctx context.Context, stream *stream, seen *sight, cursor string) {
	revision, ok := s.revision(cursor)
	beat, rights := time.NewTicker(s.times.beat), time.NewTicker(s.times.rights)
	defer beat.Stop()
	defer rights.Stop()
	for {
		var items []item
		var changed <-chan struct{}
		var upTo uint64
		if ok {
			items, upTo, changed, ok = s.Fleet.journal.since(revision, mostItems)
		}
		if !ok {
			_ = stream.send("event: reset\ndata: {}\n\n")
			return
		}
		revision = upTo
		if len(items) > 0 {
			if seen.learn(ctx, namespacesOf(items)) != nil {
				return // the viewer comes back, and is told why not
			}
			if anySeen(seen, items) {
				// Made anew for each event, so that nothing is held between them. A
				// buffer takes everything.
				var document bytes.Buffer
				_ = writeDocument(&document, s.cursor(revision), seen, items)
				if stream.send("id: %s\ndata: %s\n\n", s.cursor(revision), document.Bytes()) != nil {
					return
				}
			}
			if !pause(ctx, s.times.together) {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-beat.C:
			if stream.send(": there\n\n") != nil {
				return
			}
		case <-rights.C:
			same, err := seen.same(ctx)
			if err != nil {
				return
			}
			if !same {
				_ = stream.send("event: reset\ndata: {}\n\n")
				return
			}
		}
	}
}

func anySeen(seen *sight, items []item) bool {
	for i := range items {
		if seen.sees(items[i].key) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// stream writes to a viewer who may be slow.
type stream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	patience   time.Duration
}

func (s *stream) send(format string, args ...any) error {
	if err := s.controller.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return fmt.Errorf("limiting how long a viewer may take: %w", err)
	}
	if _, err := fmt.Fprintf(s.w, format, args...); err != nil {
		return fmt.Errorf("sending to a viewer: %w", err)
	}
	if err := s.controller.Flush(); err != nil {
		return fmt.Errorf("sending to a viewer: %w", err)
	}
	return nil
}
