package placementmap

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// asking is how many questions about a viewer's rights are asked at once.
const asking = 8

// sight is what one viewer may list, asked of the API server once for each
// namespace that there is something of.
type sight struct {
	authorizer authorizer.UnconditionalAuthorizer
	user       user.Info
	// hosts says that the viewer may list hypervisors, everywhere that they may
	// list the VMs of all namespaces.
	hosts, everywhere bool

	mu         sync.Mutex
	namespaces map[string]bool
}

// look asks what the viewer may list at large.
func look(ctx context.Context, a authorizer.UnconditionalAuthorizer, viewer user.Info) (*sight, error) {
	s := &sight{authorizer: a, user: viewer, namespaces: map[string]bool{}}
	var err error
	if s.hosts, err = s.may(ctx, "list", "hypervisors", "", ""); err != nil {
		return nil, err
	}
	if s.everywhere, err = s.may(ctx, "list", "virtualmachines", "", ""); err != nil {
		return nil, err
	}
	return s, nil
}

// may asks the API server, whose answers the authorizer remembers for 10 seconds.
func (s *sight) may(ctx context.Context, verb, resource, namespace, name string) (bool, error) {
	decision, _, err := s.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: s.user, Verb: verb, Namespace: namespace, Name: name, ResourceRequest: true,
		APIGroup: v1alpha1.GroupVersion.Group, APIVersion: v1alpha1.GroupVersion.Version, Resource: resource,
	})
	if decision == authorizer.DecisionAllow {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking whether %s may %s %s: %w", s.user.GetName(), verb, resource, err)
	}
	return false, nil
}

// learn asks about namespaces that have not been asked about.
func (s *sight) learn(ctx context.Context, namespaces map[string]bool) error {
	if s.everywhere {
		return nil
	}
	unknown := map[string]bool{}
	for namespace := range namespaces {
		if _, known := s.namespaces[namespace]; !known && namespace != "" {
			unknown[namespace] = true
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asking)
	for namespace := range unknown {
		group.Go(func() error {
			allowed, err := s.may(ctx, "list", "virtualmachines", namespace, "")
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil {
				s.namespaces[namespace] = allowed
			}
			return err
		})
	}
	return group.Wait()
}

// namespacesOf are those of the items.
func namespacesOf(items []item) map[string]bool {
	out := map[string]bool{}
	for i := range items {
		out[items[i].key.namespace] = true
	}
	return out
}

// sees says whether the viewer may know of a document. What has not been learnt is
// not seen.
func (s *sight) sees(k key) bool {
	if k.namespace == "" {
		return s.hosts
	}
	return s.everywhere || s.namespaces[k.namespace]
}

// nothing says that there is nothing that the viewer may list.
func (s *sight) nothing() bool {
	for _, allowed := range s.namespaces {
		if allowed {
			return false
		}
	}
	return !s.hosts && !s.everywhere
}

// same asks everything again, and says whether the answers are those of before.
func (s *sight) same(ctx context.Context) (bool, error) {
	now, err := look(ctx, s.authorizer, s.user)
	if err != nil {
		return false, err
	}
	if now.hosts != s.hosts || now.everywhere != s.everywhere {
		return false, nil
	}
	if err := now.learn(ctx, s.namespaces); err != nil {
		return false, err
	}
	for namespace, allowed := range s.namespaces {
		if now.namespaces[namespace] != allowed {
			return false, nil
		}
	}
	return true, nil
}
