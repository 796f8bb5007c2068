package executor

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
)

// reviewers is an API server that knows token "prometheus", who may get /metrics,
// and "somebody", who may not; and counts what it is asked.
func reviewers(away *bool, asked *int) *delegate {
	api := fake.NewClientset()
	api.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		*asked++
		if *away {
			return true, nil, errors.New("the API server is away")
		}
		review := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		review.Status.Authenticated = review.Spec.Token == "prometheus" || review.Spec.Token == "somebody"
		review.Status.User = authenticationv1.UserInfo{Username: review.Spec.Token, Groups: []string{"readers"}, Extra: map[string]authenticationv1.ExtraValue{"a": {"b"}}}
		return true, review, nil
	})
	api.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		what := review.Spec.NonResourceAttributes
		review.Status.Allowed = review.Spec.User == "prometheus" && review.Spec.Groups[0] == "readers" && review.Spec.Extra["a"][0] == "b" && what.Path == "/metrics" && what.Verb == "get"
		return true, review, nil
	})
	return newDelegate(api.AuthenticationV1().TokenReviews(), api.AuthorizationV1().SubjectAccessReviews())
}

func TestWhoSeesMetrics(t *testing.T) {
	var away bool
	var asked int
	handler, err := reviewers(&away, &asked).filter(klog.Background(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) }))
	if err != nil {
		t.Fatal(err)
	}
	get := func(method, path, authorization string) int {
		r := httptest.NewRequest(method, path, nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if shown := w.Body.String() == "page"; shown != (w.Code == http.StatusOK) {
			t.Errorf("%s %s: code %d, and the page is shown: %t", method, path, w.Code, shown)
		}
		return w.Code
	}
	for name, test := range map[string]struct {
		method, path, authorization string
		want                        int
	}{
		"whom the API server lets":        {"GET", "/metrics", "Bearer prometheus", 200},
		"the scheme in another case":      {"GET", "/metrics", "bearer prometheus", 200},
		"whom it knows and does not let":  {"GET", "/metrics", "Bearer somebody", 403},
		"whom it lets do something else":  {"POST", "/metrics", "Bearer prometheus", 403},
		"whom it lets see something else": {"GET", "/other", "Bearer prometheus", 403},
		"whom it does not know":           {"GET", "/metrics", "Bearer stolen", 401},
		"nobody":                          {"GET", "/metrics", "", 401},
		"an empty token":                  {"GET", "/metrics", "Bearer ", 401},
		"a password":                      {"GET", "/metrics", "Basic cHJvbWV0aGV1czp4", 401},
	} {
		if got := get(test.method, test.path, test.authorization); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	before := asked
	away = true
	if got := get("GET", "/metrics", "Bearer prometheus"); got != 200 || asked != before {
		t.Errorf("somebody who was let in a moment ago: %d, and the API server was asked %d times more", got, asked-before)
	}
	if got := get("GET", "/metrics", "Bearer new"); got != 500 {
		t.Errorf("somebody new while the API server is away: %d", got)
	}
	away = false
	if got := get("GET", "/metrics", "Bearer new"); got != 401 {
		t.Errorf("what could not be asked was remembered: %d", got)
	}
}
