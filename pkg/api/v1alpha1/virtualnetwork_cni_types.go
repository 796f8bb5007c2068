package v1alpha1

// CNINetwork is what type cni needs: one of both names.
// +kubebuilder:validation:XValidation:rule="has(self.configName) != has(self.definitionName)",message="give configName, a CNI configuration of the hosts, or definitionName, a NetworkAttachmentDefinition of the namespace, and not both"
type CNINetwork struct {
	// configName is the name of a CNI network configuration of the hosts.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ConfigName string `json:"configName,omitempty"`
	// definitionName is the name of a NetworkAttachmentDefinition (k8s.cni.cncf.io/v1)
	// of the network's namespace. Without a configuration of its own it stands for the
	// hosts' configuration of its name. With one it names programs that run as root on
	// hosts: then the namespace must be of policy level privileged, and hosts must allow
	// each of its plugins.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	DefinitionName string `json:"definitionName,omitempty"`
}

// CNIDefinition is what a NetworkAttachmentDefinition says which network it is.
type CNIDefinition struct {
	// uid is the NetworkAttachmentDefinition's.
	// +kubebuilder:validation:MaxLength=63
	UID string `json:"uid"`
	// configName is what the network is called: where config is not set, the name of a
	// CNI configuration of the hosts.
	// +kubebuilder:validation:MaxLength=63
	ConfigName string `json:"configName"`
	// config is the definition's own configuration, in JSON.
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	Config string `json:"config,omitempty"`
	// plugins are the types of all plugins in config.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +optional
	Plugins []string `json:"plugins,omitempty"`
}

// Reasons of a VirtualNetwork's condition Ready that are about the
// NetworkAttachmentDefinition that it names.
const (
	// ReasonDefinitionNotFound: it is not there, or the cluster has no such kind.
	ReasonDefinitionNotFound = "DefinitionNotFound"
	// ReasonDefinitionInvalid: what it says cannot be carried out by anybody.
	ReasonDefinitionInvalid = "DefinitionInvalid"
	// ReasonDefinitionForbidden: it has a configuration of its own, and the namespace is
	// not of policy level privileged.
	ReasonDefinitionForbidden = "DefinitionForbidden"
)

// CNI is what cards on the network are connected to: the name of a configuration of
// the hosts, or a configuration of its own and what that is called. name is empty
// while a NetworkAttachmentDefinition has not been read.
func (n *VirtualNetwork) CNI() (name, config string) {
	c := n.Spec.CNI
	switch {
	case c == nil:
		return "", ""
	case c.DefinitionName == "":
		return c.ConfigName, ""
	case n.Status.Definition == nil:
		return "", ""
	}
	return n.Status.Definition.ConfigName, n.Status.Definition.Config
}
