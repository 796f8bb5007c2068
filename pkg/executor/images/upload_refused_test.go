package images

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/transfer"
)

// Who is in the middle of sending hears why that is in vain, as over the wire.
func TestARefusalReachesWhoSends(t *testing.T) {
	p := newUploadPlace(t, v1alpha1.DiskRaw, contentOf(v1alpha1.DiskRaw, 300_000))
	identity, err := transfer.NewIdentity(node, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := transfer.Listen(identity, "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	server.Handle("/image", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.images.Upload(w, r, uploaded) }))
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	trust, err := transfer.Trust(node, identity.PEM)
	if err != nil {
		t.Fatal(err)
	}
	caller := transfer.Client(trust)
	defer caller.CloseIdleConnections()
	other := contentOf(v1alpha1.DiskQCOW2, 64<<20)
	for range 20 {
		r, err := http.NewRequestWithContext(ctx, http.MethodPatch, "https://"+server.Address+"/image", io.NopCloser(bytes.NewReader(other)))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = int64(len(other))
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("Content-Type", transfer.TypePartialUpload)
		r.Header.Set(transfer.HeaderUploadOffset, "0")
		r.Header.Set(transfer.HeaderUploadLength, strconv.Itoa(len(other)))
		answer, err := caller.Do(r)
		if err != nil {
			t.Fatalf("the answer was lost: %v", err)
		}
		words, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(words), "it begins as a file of format qcow2") {
			t.Fatalf("%s %s %v", answer.Status, words, err)
		}
	}
}
