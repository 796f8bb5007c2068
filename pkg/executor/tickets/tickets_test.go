package tickets

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ticket(name, node string, age time.Duration) *v1alpha1.TransferTicket {
	return &v1alpha1.TransferTicket{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-age))},
		Spec:       v1alpha1.TransferTicketSpec{NodeName: node, TokenSHA256: Hash("token"), DiskExport: &v1alpha1.DiskExport{DiskName: "data"}},
	}
}

func keeper(t *testing.T, tickets ...client.Object) (*Keeper, client.Client) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(tickets...).WithStatusSubresource(&v1alpha1.TransferTicket{}).Build()
	return New("a", "10.0.0.7:8445", "its certificate", api, clocktesting.NewFakeClock(now)), api
}

// A ticket is told where it is served, and goes after a day.
func TestATicketsLife(t *testing.T) {
	ctx := context.Background()
	k, api := keeper(t, ticket("new", "a", time.Hour), ticket("old", "a", lifetime), ticket("other", "b", lifetime))
	after := map[string]time.Duration{}
	for _, name := range []string{"new", "old", "other", "none"} {
		left, err := k.Turn(ctx, types.NamespacedName{Namespace: "ns", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		after[name] = left
	}
	got := &v1alpha1.TransferTicket{}
	if err := api.Get(ctx, types.NamespacedName{Namespace: "ns", Name: "new"}, got); err != nil {
		t.Fatal(err)
	}
	if s := got.Status; s.URL != "https://10.0.0.7:8445/v1/tickets/ns/new" || s.Certificate != "its certificate" || !s.Expires.Time.Equal(now.Add(23*time.Hour)) {
		t.Errorf("status %+v", s)
	}
	if after["new"] != 23*time.Hour {
		t.Errorf("it is looked at again after %s", after["new"])
	}
	if err := api.Get(ctx, types.NamespacedName{Namespace: "ns", Name: "old"}, got); !apierrors.IsNotFound(err) {
		t.Errorf("one that is over is there: %v", err)
	}
	if err := api.Get(ctx, types.NamespacedName{Namespace: "ns", Name: "other"}, got); err != nil || got.Status.URL != "" {
		t.Errorf("another host's was touched: %v, %+v", err, got.Status)
	}
}

func TestWhoseTicketIsGood(t *testing.T) {
	k, _ := keeper(t, ticket("new", "a", time.Hour), ticket("old", "a", lifetime), ticket("other", "b", time.Hour))
	for name, test := range map[string]struct {
		ticket, authorization string
		good                  bool
	}{
		"its bearer":                 {"new", "Bearer token", true},
		"another token":              {"new", "Bearer other", false},
		"the hash for the token":     {"new", "Bearer " + Hash("token"), false},
		"no token":                   {"new", "", false},
		"an empty one":               {"new", "Bearer ", false},
		"another way to prove it":    {"new", "Basic token", false},
		"one that is over":           {"old", "Bearer token", false},
		"one for another host":       {"other", "Bearer token", false},
		"one that there is not":      {"none", "Bearer token", false},
		"a token beside white space": {"new", "Bearer token ", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.SetPathValue("namespace", "ns")
			r.SetPathValue("name", test.ticket)
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			got, err := k.Shown(r)
			if test.good != (err == nil && got != nil && got.Name == test.ticket) || !test.good && !errors.Is(err, ErrNotGood) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
