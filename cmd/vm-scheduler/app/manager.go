package app

import (
	"crypto/tls"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"domus.dev/domus/pkg/admission"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/controller/secretgrant"
	"domus.dev/domus/pkg/controller/services"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme,
		schedulingv1.AddToScheme, schedulingv1beta1.AddToScheme, admissionregistrationv1.AddToScheme,
		authorizationv1.AddToScheme, rbacv1.AddToScheme, discoveryv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering API types: %w", err)
		}
	}
	return scheme, nil
}

// newManager returns the manager whose informers serve scheduler and
// controllers alike, and a client past its cache for writes and doubtful reads.
// Leader election and metrics are kube-scheduler's, so it does neither.
func newManager(cfg *rest.Config, opts *Options, certificate func(client.Client) *admission.Certificate) (manager.Manager, client.Client, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, nil, err
	}
	// The scheduler's configuration may ask for protobuf, which custom
	// resources do not speak.
	cfg = rest.CopyConfig(cfg)
	cfg.ContentType, cfg.AcceptContentTypes = "", ""
	cfg = rest.AddUserAgent(cfg, "controllers")

	live, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("making the controllers' client: %w", err)
	}
	serving := certificate(live)
	// Of what the cluster has of them, those that vm-scheduler makes.
	ours, err := labels.NewRequirement(secretgrant.Label, selection.Exists, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("selecting Roles: %w", err)
	}
	grants := labels.NewSelector().Add(*ours)
	m, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: opts.WebhookBindAddress,
			Port: opts.WebhookPort,
			TLSOpts: []func(*tls.Config){func(c *tls.Config) {
				c.GetCertificate = serving.Get
			}},
		}),
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&v1alpha1.VirtualMachine{}:          {Transform: trim},
				&v1alpha1.VirtualMachineOperation{}: {Transform: trimOperation},
				&v1alpha1.Hypervisor{}:              {Transform: fleet.Share()},
				&coordinationv1.Lease{}:             {Namespaces: map[string]cache.Config{v1alpha1.LeaseNamespace: {}}},
				&corev1.Node{}:                      {Transform: onlyHost},
				&rbacv1.Role{}:                      {Label: grants},
				&rbacv1.RoleBinding{}:               {Label: grants},
				&corev1.Service{}:                   {Transform: services.Trim},
				&corev1.Namespace{}:                 {Transform: onlyLevel},
				&discoveryv1.EndpointSlice{}:        {Label: labels.SelectorFromSet(labels.Set{discoveryv1.LabelManagedBy: v1alpha1.SliceManager})},
			},
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("making the controllers' manager: %w", err)
	}
	if opts.WebhookPort != 0 {
		if err := m.Add(serving); err != nil {
			return nil, nil, fmt.Errorf("adding the webhook's certificate: %w", err)
		}
	}
	return m, live, nil
}

// trim keeps VMs small in memory.
func trim(obj any) (any, error) {
	if vm, ok := obj.(*v1alpha1.VirtualMachine); ok {
		podless.Trim(vm)
	}
	return obj, nil
}

// trimOperation drops what only a host or a person has use for: hashes of
// passwords, and pictures.
func trimOperation(obj any) (any, error) {
	if op, ok := obj.(*v1alpha1.VirtualMachineOperation); ok {
		op.ManagedFields, op.Annotations = nil, nil
		op.Spec.SetPassword, op.Spec.InjectSSHKey, op.Spec.SendKey, op.Status.Screenshot = nil, nil, nil, nil
	}
	return obj, nil
}

// onlyLevel keeps of a Namespace its policy level.
func onlyLevel(obj any) (any, error) {
	if ns, ok := obj.(*corev1.Namespace); ok {
		return &corev1.Namespace{TypeMeta: ns.TypeMeta, ObjectMeta: metav1.ObjectMeta{
			Name: ns.Name, UID: ns.UID, ResourceVersion: ns.ResourceVersion, Labels: only(ns.Labels, v1alpha1.PolicyLevelLabel),
		}}, nil
	}
	return obj, nil
}

// only is the label of the key alone, if it is there.
func only(labels map[string]string, key string) map[string]string {
	if value, has := labels[key]; has {
		return map[string]string{key: value}
	}
	return nil
}

// onlyHost keeps of a Node what the controllers look at: zone, taints, and what its
// executor reports. The scheduler has an informer of its own.
func onlyHost(obj any) (any, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	return &corev1.Node{
		TypeMeta:   node.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Labels: only(node.Labels, corev1.LabelTopologyZone)},
		Spec:       corev1.NodeSpec{Taints: node.Spec.Taints},
		Status:     corev1.NodeStatus{Allocatable: capacity.FromList(node.Status.Allocatable).List()},
	}, nil
}

func newCertificate(c client.Client) *admission.Certificate {
	return admission.NewCertificate(c, clock.RealClock{})
}
