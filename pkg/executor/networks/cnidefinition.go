package networks

import (
	"context"
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/policy"
)

// undefined says, in words, why it is not known or not allowed what the network's
// NetworkAttachmentDefinition leads to; empty where nothing is wrong, or it names none.
// vm-scheduler has checked it too; the namespace's level may have changed since.
func (k *Keeper) undefined(ctx context.Context, n *v1alpha1.VirtualNetwork) (string, error) {
	if n.Spec.CNI == nil || n.Spec.CNI.DefinitionName == "" {
		return "", nil
	}
	name, config := n.CNI()
	if name == "" {
		return fmt.Sprintf("VirtualNetwork %s waits for NetworkAttachmentDefinition %s: it says in its status what is wrong", n.Name, n.Spec.CNI.DefinitionName), nil
	}
	if config == "" {
		return "", nil
	}
	level, err := k.Levels(ctx, n.Namespace)
	if err != nil {
		return "", err
	}
	if err := policy.CheckCNIDefinition(n.Status.Definition, n.Spec.CNI.DefinitionName, level); err != nil {
		return fmt.Sprintf("VirtualNetwork %s: %v", n.Name, err), nil
	}
	return "", nil
}
