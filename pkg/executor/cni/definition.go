package cni

import (
	"encoding/json"
	"fmt"
)

// Definition is what of a NetworkAttachmentDefinition (k8s.cni.cncf.io/v1) says
// which network it is: the name to be asked for, and the configuration, which is nil
// where the host's own of that name is meant.
//
// It is read as the Network Plumbing Working Group's standard has it (version 1.3,
// sections 3.4.1 and 3.4.2): without spec.config the host's configuration of the
// object's name is used, and a configuration without a name has the object's.
func Definition(object []byte) (name string, config []byte, err error) {
	var definition struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Config string `json:"config"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(object, &definition); err != nil {
		return "", nil, fmt.Errorf("%w: NetworkAttachmentDefinition: %w", ErrInvalid, err)
	}
	if definition.Kind != "NetworkAttachmentDefinition" || definition.APIVersion != "k8s.cni.cncf.io/v1" {
		return "", nil, fmt.Errorf("%w: %s %s: give a NetworkAttachmentDefinition of k8s.cni.cncf.io/v1", ErrInvalid, definition.APIVersion, definition.Kind)
	}
	name = definition.Metadata.Name
	if definition.Spec.Config == "" {
		return name, nil, nil
	}
	config = []byte(definition.Spec.Config)
	if _, err := parse(config, name); err != nil {
		return "", nil, fmt.Errorf("spec.config of NetworkAttachmentDefinition %q: %w", name, err)
	}
	return name, config, nil
}
