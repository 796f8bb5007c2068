package podless

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// interfacesAnnotation holds the cards of a VM's spec.interfaces, as a list of
// Interfaces in JSON.
const interfacesAnnotation = "domus.dev/interfaces"

// Interface is what of a card matters to where its VM may be.
type Interface struct {
	// Name is the card's, and Network the VirtualNetwork's of the VM's namespace.
	Name    string `json:"n"`
	Network string `json:"v"`
	// MAC is the card's address.
	MAC string `json:"m"`
}

func interfacesOf(vm *v1alpha1.VirtualMachine) []Interface {
	out := make([]Interface, len(vm.Spec.Interfaces))
	for i := range vm.Spec.Interfaces {
		card := &vm.Spec.Interfaces[i]
		out[i] = Interface{Name: card.Name, Network: card.NetworkName, MAC: vm.MACOf(card)}
	}
	return out
}

// InterfacesOf reads the cards of a projected Pod's VM; none of a VM that has none,
// at no cost.
func InterfacesOf(pod *corev1.Pod) ([]Interface, error) {
	text, any := pod.Annotations[interfacesAnnotation]
	if !any {
		return nil, nil
	}
	var out []Interface
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("reading the cards of VirtualMachine %s/%s: %w", pod.Namespace, VMName(pod.Name), err)
	}
	return out, nil
}

// InterfacesTextOf is what tells whether two VMs have the same cards.
func InterfacesTextOf(pod *corev1.Pod) string { return pod.Annotations[interfacesAnnotation] }
