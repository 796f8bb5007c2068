package app

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/placementmap"
)

// servePlacementMap has m serve the map beside the webhooks, with their certificate,
// whether or not this replica leads. Who looks is asked of the API server as for
// kube-scheduler's own pages; without those (--secure-port=0) there is no map.
func servePlacementMap(ctx context.Context, m manager.Manager, live client.Client, cc *schedulerconfig.CompletedConfig, explainer placementmap.Explainer) error {
	if cc.Authentication.Authenticator == nil || cc.Authorization.Authorizer == nil {
		return nil
	}
	var informers []placementmap.Informer
	for _, of := range []client.Object{&v1alpha1.VirtualMachine{}, &v1alpha1.Hypervisor{}, &corev1.Node{}} {
		informer, err := m.GetCache().GetInformer(ctx, of)
		if err != nil {
			return fmt.Errorf("making an informer for the placement map: %w", err)
		}
		informers = append(informers, informer)
	}
	fleet, err := placementmap.NewFleet(informers[0], informers[1], informers[2])
	if err != nil {
		return err
	}
	if err := m.Add(fleet); err != nil {
		return fmt.Errorf("adding the placement map: %w", err)
	}
	m.GetWebhookServer().Register(placementmap.Path, placementmap.NewHandler(placementmap.Options{
		Fleet: fleet, Authenticator: cc.Authentication.Authenticator, Authorizer: cc.Authorization.Authorizer, Client: live, Explainer: explainer,
	}))
	return nil
}
