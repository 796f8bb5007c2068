package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/virtctl/failure"
)

const (
	// tellEvery is how often the progress is told.
	tellEvery = 500 * time.Millisecond
	// maxWords is the most that is read of a refusal.
	maxWords = 4 << 10
)

// download asks the host for what the file does not have yet.
func (e *exporter) download(ctx context.Context, ticket *v1alpha1.TransferTicket, token string) error {
	trust, err := transfer.Trust(ticket.Spec.NodeName, ticket.Status.Certificate)
	if err != nil {
		return finalError{err}
	}
	caller := transfer.Client(trust)
	defer caller.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, ticket.Status.URL, nil)
	if err != nil {
		return finalError{fmt.Errorf("host %s serves at %q: %w", ticket.Spec.NodeName, ticket.Status.URL, err)}
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if e.file.length > 0 && e.file.version != "" {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(e.file.length, 10)+"-")
		r.Header.Set("If-Range", e.file.version)
	}
	e.progress.Say("waiting for host " + ticket.Spec.NodeName)
	response, err := caller.Do(r)
	if err != nil {
		return fmt.Errorf("asking host %s: %w", ticket.Spec.NodeName, err)
	}
	defer func() { _ = response.Body.Close() }()
	e.got = response.Header.Get(transfer.HeaderFormat)
	switch response.StatusCode {
	case http.StatusOK:
		err = e.file.begin(response.Header.Get("Etag"), response.ContentLength)
	case http.StatusPartialContent:
		err = e.file.resume(response.Header.Get("Content-Range"))
	case http.StatusRequestedRangeNotSatisfiable:
		if e.file.total == e.file.length {
			return nil // all of it was there
		}
		err = e.file.begin("", 0)
	default:
		return refused(ticket.Spec.NodeName, response)
	}
	if err != nil {
		return finalError{err}
	}
	return e.receive(response.Body)
}

// refused is what the host said instead of serving.
func refused(node string, response *http.Response) error {
	words, _ := io.ReadAll(io.LimitReader(response.Body, maxWords))
	said := strings.TrimSpace(string(words))
	switch response.StatusCode {
	case http.StatusConflict, http.StatusInsufficientStorage:
		return finalError{failure.Refused("host %s: %s", node, said)}
	case http.StatusNotFound:
		return finalError{failure.NotFound("host %s: %s", node, said)}
	}
	return fmt.Errorf("host %s: %s: %s", node, response.Status, said)
}

// receive writes what comes to the file.
func (e *exporter) receive(body io.Reader) error {
	buffer := make([]byte, 1<<20)
	began, from, told := time.Now(), e.file.length, time.Time{}
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if err := e.file.write(buffer[:n]); err != nil {
				return finalError{err}
			}
		}
		if now := time.Now(); now.Sub(told) >= tellEvery {
			told = now
			rate := float64(e.file.length-from) / max(now.Sub(began).Seconds(), 0.001)
			e.progress.Say(fmt.Sprintf("%s of %s, %s/s", capacity.Bytes(e.file.length), capacity.Bytes(e.file.total), capacity.Bytes(int64(rate))))
		}
		switch {
		case errors.Is(err, io.EOF) && e.file.length == e.file.total:
			return nil
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// parseRange reads the first byte and the length of all out of a Content-Range, of
// the form bytes 5-9/10.
func parseRange(text string) (first, all int64, err error) {
	var last int64
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &first, &last, &all); err != nil {
		return 0, 0, fmt.Errorf("reading Content-Range %q: %w", text, err)
	}
	return first, all, nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.from.Read(p)
}
