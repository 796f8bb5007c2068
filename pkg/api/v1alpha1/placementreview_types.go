package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VirtualMachineTemplate is a VM that need not exist.
type VirtualMachineTemplate struct {
	// labels are the VM's, which affinity and spread of others select by.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// spec is the VM's.
	Spec VirtualMachineSpec `json:"spec"`
}

// PlacementQuestion is what a PlacementReview asks.
// +kubebuilder:validation:Enum=Explain;Fit
type PlacementQuestion string

const (
	// PlacementExplain asks where the VM would be placed now, and why.
	PlacementExplain PlacementQuestion = "Explain"
	// PlacementFit asks how many more VMs of this shape fit, and how large the
	// largest may be.
	PlacementFit PlacementQuestion = "Fit"
)

// PlacementReviewSpec is the question.
// +kubebuilder:validation:XValidation:rule="has(self.virtualMachineName) != has(self.template)",message="give either virtualMachineName or template"
type PlacementReviewSpec struct {
	// question is what is asked. Default Explain.
	// +kubebuilder:default=Explain
	// +optional
	Question PlacementQuestion `json:"question,omitempty"`

	// virtualMachineName names a VM in the review's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	VirtualMachineName string `json:"virtualMachineName,omitempty"`

	// template is a VM that need not exist.
	// +optional
	Template *VirtualMachineTemplate `json:"template,omitempty"`

	// limit is how many hosts the answer names at most in each of its lists.
	// Default 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	// +optional
	Limit *int32 `json:"limit,omitempty"`
}

// PlacementReviewStatus is the answer. It is true of the moment it was given.
type PlacementReviewStatus struct {
	// nodeName is the host that holds the VM, empty for one that waits or does
	// not exist.
	// +optional
	NodeName string `json:"nodeName,omitempty"`

	// message says in a sentence what the answer is.
	Message string `json:"message"`

	// hosts is the number of hosts: Nodes with an executor and a Hypervisor. Other
	// Nodes are among the rejections.
	Hosts int32 `json:"hosts"`

	// feasible is the number of hosts that the VM fits on now.
	Feasible int32 `json:"feasible"`

	// rejections are the reasons for which hosts were rejected, the most frequent
	// first. A host with several reasons is counted under each.
	// +optional
	Rejections []PlacementRejection `json:"rejections,omitempty"`

	// candidates are the hosts that fit, the best first.
	// +optional
	Candidates []PlacementCandidate `json:"candidates,omitempty"`

	// changes are what would have to change for the VM to be placed, a sentence
	// each. Empty for a VM that fits.
	// +optional
	Changes []string `json:"changes,omitempty"`

	// fit answers question Fit.
	// +optional
	Fit *PlacementFitStatus `json:"fit,omitempty"`
}

// PlacementRejection is a reason for which hosts were rejected.
type PlacementRejection struct {
	// plugin is the scheduler's plugin that rejected them.
	Plugin string `json:"plugin"`
	// reason is said in words, those of condition Scheduled of a VM that waits.
	Reason string `json:"reason"`
	// hosts is how many there are.
	Hosts int32 `json:"hosts"`
	// nodeNames are some of them, sorted.
	// +optional
	NodeNames []string `json:"nodeNames,omitempty"`
	// evictable says that the VM could get room on some of them by evicting VMs of
	// lower priority. It is said only of a VM that fits nowhere.
	// +optional
	Evictable bool `json:"evictable,omitempty"`
}

// PlacementCandidate is a host that fits, with its scores.
type PlacementCandidate struct {
	// nodeName is the host.
	NodeName string `json:"nodeName"`
	// score is the sum of the plugins' weighted scores; the highest wins, and
	// among equals chance decides.
	Score int64 `json:"score"`
	// plugins are the scores of which it is the sum, sorted by name.
	// +optional
	Plugins []PluginScore `json:"plugins,omitempty"`
}

// PluginScore is one plugin's weighted score of a host.
type PluginScore struct {
	// name is the plugin's.
	Name string `json:"name"`
	// score is weighted: from 0 to 100 times the plugin's weight.
	Score int64 `json:"score"`
}

// PlacementFitStatus says how much more fits.
type PlacementFitStatus struct {
	// count is how many more VMs of this shape fit on the fleet at once, besides
	// what is there.
	Count int64 `json:"count"`

	// atLeast says that count is a lower bound: counting ended there.
	// +optional
	AtLeast bool `json:"atLeast,omitempty"`

	// largest is the largest VM of this shape that fits on a host now: CPUs,
	// memory and hugepages in the proportion that was asked for. Missing when
	// not even the smallest fits.
	// +optional
	Largest *PlacementSize `json:"largest,omitempty"`

	// hosts are the hosts that take at least one, those that take most first.
	// +optional
	Hosts []PlacementHostFit `json:"hosts,omitempty"`
}

// PlacementHostFit says how much more fits on a host.
type PlacementHostFit struct {
	// nodeName is the host.
	NodeName string `json:"nodeName"`
	// count is how many more fit here if all of them come here.
	Count int64 `json:"count"`
	// largest is the largest VM of the shape that fits here now.
	// +optional
	Largest *PlacementSize `json:"largest,omitempty"`
}

// PlacementSize is a size of VM.
type PlacementSize struct {
	// cpu is the number of vCPUs.
	CPU int32 `json:"cpu"`
	// memory is the guest's memory in bytes, in hugepages where the shape asks
	// for them.
	Memory int64 `json:"memory"`
}

// PlacementReview asks vm-scheduler where a VM would be placed and why, or how
// much more fits. The answer comes in the status of what creating it returns,
// and is decided by the plugins that place VMs. It is never stored: create it
// with a server-side dry run.
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=domus
type PlacementReview struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PlacementReviewSpec `json:"spec"`
	// status is written by vm-scheduler; what a user writes is dropped.
	// +optional
	Status *PlacementReviewStatus `json:"status,omitempty"`
}

// PlacementReviewList is never returned with items: reviews are not stored.
// +kubebuilder:object:root=true
type PlacementReviewList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PlacementReview `json:"items"`
}
