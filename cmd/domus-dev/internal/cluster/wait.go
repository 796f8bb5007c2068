package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"domus.dev/domus/cmd/domus-dev/internal/proc"
)

const pollInterval = 200 * time.Millisecond

// errEnded is what a component that ended by itself fails with.
var errEnded = errors.New("it ended by itself")

// until calls ready until it returns nil. It fails when the component's
// process ends, when ctx does, or when timeout has passed, with ready's last
// answer.
func until(ctx context.Context, spec proc.Spec, r *proc.Record, timeout time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		// The process first: what answers may be a stranger on its port.
		if !r.Alive() {
			return &failure{component: spec.Name, logFile: spec.LogFile, err: errEnded}
		}
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		err := ready(attempt)
		done()
		if err == nil {
			return nil
		}
		// An attempt that was cut short says less than the one before it.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return &failure{component: spec.Name, logFile: spec.LogFile, err: fmt.Errorf("not ready after %s: %w", timeout, last)}
		case <-time.After(pollInterval):
		}
	}
}

// insecurely asks a component that makes its certificate itself. It is not
// looked at: the answer is all that is wanted, and the question has no secret.
var insecurely = &http.Client{Transport: &http.Transport{
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	DisableKeepAlives: true,
}}

// answersOK asks url for a 200.
func answersOK(c *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := c.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(response.Body, 512))
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s: %s", url, response.Status, body)
		}
		return nil
	}
}
