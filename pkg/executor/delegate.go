package executor

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// What the API server has said of a token counts this long: as long as kubelets
	// take its word, and shorter where it was no.
	allowedFor, refusedFor = time.Minute, 10 * time.Second
	// knownTokens bounds what is remembered.
	knownTokens = 256
	// delegateTimeout bounds both questions.
	delegateTimeout = 10 * time.Second
)

// delegate lets through whom the API server knows by a bearer token, and lets do
// what is asked for: get a path. k8s.io/apiserver has the same with all that it may
// be configured for, and would double vm-executor.
type delegate struct {
	tokens   authenticationclient.TokenReviewInterface
	accesses authorizationclient.SubjectAccessReviewInterface
	// said are status codes by digest of token, method and path.
	said *cache.LRUExpireCache
}

// delegated is a metricsserver's FilterProvider.
func delegated(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	authentication, err := authenticationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("preparing to ask who may see metrics: %w", err)
	}
	authorization, err := authorizationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("preparing to ask who may see metrics: %w", err)
	}
	d := newDelegate(authentication.TokenReviews(), authorization.SubjectAccessReviews())
	return d.filter, nil
}

func newDelegate(tokens authenticationclient.TokenReviewInterface, accesses authorizationclient.SubjectAccessReviewInterface) *delegate {
	return &delegate{tokens: tokens, accesses: accesses, said: cache.NewLRUExpireCache(knownTokens)}
}

// filter stands before next.
func (d *delegate) filter(log logr.Logger, next http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, err := d.decide(r)
		switch {
		case err != nil:
			// The caller is told no more than that: why is the host's business.
			log.Error(err, "Asking the API server who may see metrics")
			http.Error(w, "the API server cannot be asked who may see this", http.StatusInternalServerError)
		case code != http.StatusOK:
			http.Error(w, http.StatusText(code), code)
		default:
			next.ServeHTTP(w, r)
		}
	}), nil
}

// decide is the status of an answer: 200, 401 for whom the API server does not
// know, 403 for whom it does not let.
func (d *delegate) decide(r *http.Request) (int, error) {
	token, ok := bearer(r)
	if !ok {
		return http.StatusUnauthorized, nil
	}
	verb := strings.ToLower(r.Method)
	key := sha256.Sum256([]byte(verb + " " + r.URL.Path + "\n" + token))
	if code, known := d.said.Get(key); known {
		return code.(int), nil
	}
	code, err := d.ask(r.Context(), token, verb, r.URL.Path)
	if err != nil {
		return 0, err
	}
	ttl := refusedFor
	if code == http.StatusOK {
		ttl = allowedFor
	}
	d.said.Add(key, code, ttl)
	return code, nil
}

func (d *delegate) ask(ctx context.Context, token, verb, path string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, delegateTimeout)
	defer cancel()
	who, err := d.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("reviewing a token: %w: see manifests/monitoring/rbac", err)
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	user := &who.Status.User
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
	}
	for k, v := range user.Extra {
		spec.Extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err := d.accesses.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("reviewing access: %w: see manifests/monitoring/rbac", err)
	}
	if !may.Status.Allowed || may.Status.Denied {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}

// bearer is the token of RFC 6750's header.
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}
