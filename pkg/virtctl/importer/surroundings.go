package importer

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/failure"
)

// surroundings is what VMs come into.
type surroundings struct {
	// client is nil where the cluster could not be asked.
	client client.WithWatch
	// level is the namespace's; assumed says that it is not known.
	level   v1alpha1.PolicyLevel
	assumed bool
	// vms are those of the namespace.
	vms []v1alpha1.VirtualMachine
}

// look asks the cluster for them. A level that is given is taken instead of the
// namespace's; who may not read namespaces is held against the strictest.
func look(ctx context.Context, config *genericclioptions.ConfigFlags, namespace, level string) (*surroundings, error) {
	c, err := cluster.Connect(config)
	if err != nil {
		return nil, err
	}
	out := &surroundings{client: c, level: v1alpha1.PolicyLevel(level)}
	list := &v1alpha1.VirtualMachineList{}
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, failure.API(err, "listing virtualmachines")
	}
	out.vms = list.Items
	if level != "" {
		return out, nil
	}
	ns := &corev1.Namespace{}
	err = c.Get(ctx, types.NamespacedName{Name: namespace}, ns)
	switch {
	case apierrors.IsForbidden(err):
		out.level, out.assumed = v1alpha1.PolicyRestricted, true
	case err != nil:
		return nil, failure.API(err, "reading the policy level of namespace %s", namespace)
	default:
		out.level = v1alpha1.PolicyLevel(ns.Labels[v1alpha1.PolicyLevelLabel])
	}
	if out.level != v1alpha1.PolicyPrivileged {
		out.level = v1alpha1.PolicyRestricted
	}
	return out, nil
}

// known finds the VM of a UUID, or else of a name.
func (s *surroundings) known(uuid, name string) *v1alpha1.VirtualMachine {
	var named *v1alpha1.VirtualMachine
	for i := range s.vms {
		vm := &s.vms[i]
		if uuid != "" && vm.DomainUUID() == uuid {
			return vm
		}
		if vm.Name == name {
			named = vm
		}
	}
	return named
}
