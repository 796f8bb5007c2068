package image

import (
	"context"
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
	"domus.dev/domus/pkg/virtctl/output"
)

const (
	// tellEvery is how often the progress is told.
	tellEvery = 500 * time.Millisecond
	// maxWords is the most that is read of a refusal.
	maxWords = 4 << 10
)

// send asks the host how much it has, and sends it the rest.
func (u *uploader) send(ctx context.Context, ticket *v1alpha1.TransferTicket, token string) error {
	trust, err := transfer.Trust(u.node, ticket.Status.Certificate)
	if err != nil {
		return finalError{err}
	}
	caller := transfer.Client(trust)
	defer caller.CloseIdleConnections()
	ask := func(method string, offset int64) (*http.Response, error) {
		body := io.Reader(http.NoBody)
		if method == http.MethodPatch && offset < u.length {
			if _, err := u.file.Seek(offset, io.SeekStart); err != nil {
				return nil, finalError{err}
			}
			// The file may have grown since its checksum was computed: that is said then.
			body = &meter{ctx: ctx, from: io.LimitReader(u.file, u.length-offset), at: offset, total: u.length, doing: "uploading to host " + u.node, progress: u.progress, count: &u.sent}
		}
		r, err := http.NewRequestWithContext(ctx, method, ticket.Status.URL, body)
		if err != nil {
			return nil, finalError{fmt.Errorf("host %s serves at %q: %w", u.node, ticket.Status.URL, err)}
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if method == http.MethodPatch {
			r.ContentLength = u.length - offset
			r.Header.Set("Content-Type", transfer.TypePartialUpload)
			if r.ContentLength > 0 {
				r.Header.Set("Expect", "100-continue")
			}
			r.Header.Set(transfer.HeaderUploadOffset, strconv.FormatInt(offset, 10))
			r.Header.Set(transfer.HeaderUploadLength, strconv.FormatInt(u.length, 10))
		}
		answer, err := caller.Do(r)
		if err != nil {
			return nil, fmt.Errorf("asking host %s: %w", u.node, err)
		}
		return answer, nil
	}
	u.progress.Say("waiting for host " + u.node)
	answer, err := ask(http.MethodHead, 0)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusNoContent:
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return finalError{failure.Refused("host %s takes no uploads: its vm-executor is older than virtctl", u.node)}
	default:
		// A HEAD has no words: the same refusal comes to what follows.
		return u.refusedBy(ask)
	}
	offset, err := strconv.ParseInt(answer.Header.Get(transfer.HeaderUploadOffset), 10, 64)
	switch {
	case err != nil || offset < 0:
		return finalError{fmt.Errorf("host %s says %s: %q", u.node, transfer.HeaderUploadOffset, answer.Header.Get(transfer.HeaderUploadOffset))}
	case answer.Header.Get(transfer.HeaderUploadComplete) == transfer.UploadComplete:
		return nil
	case offset > u.length:
		offset = u.length // which the host finds out to be another file's
	}
	u.reached = max(u.reached, offset)
	if answer, err = ask(http.MethodPatch, offset); err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusNoContent && answer.Header.Get(transfer.HeaderUploadComplete) == transfer.UploadComplete {
		return nil
	}
	return u.refused(answer, offset)
}

// refusedBy has the host say in words why it says nothing of how much it has.
func (u *uploader) refusedBy(ask func(string, int64) (*http.Response, error)) error {
	answer, err := ask(http.MethodPatch, u.length)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return u.refused(answer, 0)
}

// refused is what the host said instead of taking what began at offset.
func (u *uploader) refused(answer *http.Response, offset int64) error {
	words, _ := io.ReadAll(io.LimitReader(answer.Body, maxWords))
	said := strings.TrimSpace(string(words))
	switch {
	case answer.StatusCode == http.StatusUnprocessableEntity && offset > 0:
		// What was there was not the beginning of this file. It is gone now.
		return fmt.Errorf("host %s: %s", u.node, said)
	case answer.StatusCode == http.StatusUnprocessableEntity, answer.StatusCode == http.StatusInsufficientStorage,
		answer.StatusCode == http.StatusBadRequest, answer.StatusCode == http.StatusConflict && answer.Header.Get(transfer.HeaderUploadOffset) == "":
		return finalError{failure.Refused("host %s: %s", u.node, said)}
	case answer.StatusCode == http.StatusNotFound:
		return finalError{failure.NotFound("host %s: %s", u.node, said)}
	}
	return fmt.Errorf("host %s: %s: %s", u.node, answer.Status, said)
}

// meter reads, and tells how far it is.
type meter struct {
	ctx       context.Context
	from      io.Reader
	at, total int64
	doing     string
	progress  *output.Progress
	// count is added to; nil for none.
	count       *int64
	first       int64
	began, told time.Time
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	if m.began.IsZero() {
		m.began, m.first = time.Now(), m.at
	}
	n, err := m.from.Read(p)
	m.at += int64(n)
	if m.count != nil {
		*m.count += int64(n)
	}
	if now := time.Now(); now.Sub(m.told) >= tellEvery {
		m.told = now
		rate := float64(m.at-m.first) / max(now.Sub(m.began).Seconds(), 0.001)
		m.progress.Say(fmt.Sprintf("%s: %s of %s, %s/s", m.doing, capacity.Bytes(m.at), capacity.Bytes(m.total), capacity.Bytes(int64(rate))))
	}
	return n, err
}
