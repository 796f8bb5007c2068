// Package tickets says of TransferTickets for one host where they are served,
// holds callers against them, and removes those that are over.
package tickets

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/turns"
)

const (
	// lifetime is how long a ticket is good for, from its creation.
	lifetime = 24 * time.Hour
	// A ticket whose turn fails is looked at again after firstRetry, doubling up to
	// lastRetry.
	firstRetry = 250 * time.Millisecond
	lastRetry  = time.Minute
	// turnTimeout bounds a turn.
	turnTimeout = 30 * time.Second
)

// Keeper looks after the tickets of one host.
type Keeper struct {
	node        string
	live        client.Client
	clock       clock.WithTicker
	base        string
	certificate string
	queue       workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

// New returns a Keeper for the host node, which serves at address and shows the
// certificate there.
func New(node, address, certificate string, live client.Client, clk clock.WithTicker) *Keeper {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, lastRetry)
	return &Keeper{
		node: node, live: live, clock: clk, base: "https://" + address, certificate: certificate,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "transfertickets-" + node, Clock: clk}),
	}
}

// Enqueue asks for a turn of the ticket.
func (k *Keeper) Enqueue(key types.NamespacedName) { k.queue.Add(key) }

// Run looks after the tickets until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, k.queue.ShutDown)
	defer stop()
	turns.Give(k.queue, func(key types.NamespacedName) {
		turn, cancel := context.WithTimeout(ctx, turnTimeout)
		defer cancel()
		after, err := k.Turn(turn, key)
		if err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Info("A ticket's turn failed and is repeated", "transferTicket", key, "err", err.Error())
		}
		turns.Settle(k.queue, key, after, err)
	})
}

// Turn has a ticket say where it is served, or removes one that is over, and says
// when to look again.
func (k *Keeper) Turn(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	t := &v1alpha1.TransferTicket{}
	if err := k.live.Get(ctx, key, t); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	if t.Spec.NodeName != k.node || t.DeletionTimestamp != nil {
		return 0, nil
	}
	left := expiry(t).Sub(k.clock.Now())
	if left <= 0 {
		return 0, client.IgnoreNotFound(k.live.Delete(ctx, t, client.Preconditions{UID: &t.UID}))
	}
	expires := metav1.NewTime(expiry(t)).Rfc3339Copy()
	want := v1alpha1.TransferTicketStatus{URL: k.base + Path(key), Certificate: k.certificate, Expires: &expires}
	if s := t.Status; s.URL == want.URL && s.Certificate == want.Certificate && s.Expires != nil && s.Expires.Equal(want.Expires) {
		return left, nil
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": t.UID},
		{"op": "add", "path": "/status", "value": want},
	})
	if err != nil {
		return 0, err
	}
	if err := k.live.Status().Patch(ctx, t, client.RawPatch(types.JSONPatchType, patch)); err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("saying where TransferTicket %s is served: %w", key, err)
	}
	return left, nil
}

func expiry(t *v1alpha1.TransferTicket) time.Time { return t.CreationTimestamp.Add(lifetime) }

// Path is where a ticket is served at its host.
func Path(key types.NamespacedName) string { return "/v1/tickets/" + key.Namespace + "/" + key.Name }

// Pattern is Path as http.ServeMux has it.
const Pattern = "/v1/tickets/{namespace}/{name}"

// Hash is the hash of a token, as a ticket has it.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// ErrNotGood says that the caller has no ticket that is good here.
var ErrNotGood = errors.New("there is no such ticket, its token is another one, or it is over")

// Shown is the ticket that the request is for, if it bears the ticket's token.
// Errors: ErrNotGood, or why that cannot be known.
func (k *Keeper) Shown(r *http.Request) (*v1alpha1.TransferTicket, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return nil, ErrNotGood
	}
	t := &v1alpha1.TransferTicket{}
	err := k.live.Get(r.Context(), types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}, t)
	switch {
	case apierrors.IsNotFound(err):
		return nil, ErrNotGood
	case err != nil:
		return nil, fmt.Errorf("reading the ticket: %w", err)
	case subtle.ConstantTimeCompare([]byte(Hash(token)), []byte(t.Spec.TokenSHA256)) != 1,
		t.Spec.NodeName != k.node, t.DeletionTimestamp != nil, !expiry(t).After(k.clock.Now()):
		return nil, ErrNotGood
	}
	return t, nil
}
