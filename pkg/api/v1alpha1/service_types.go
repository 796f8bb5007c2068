package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Annotations of a Service (core/v1) that is to lead to VMs.
const (
	// ServiceSelectorAnnotation is a label selector, written as kubectl's -l is:
	// app=web, or "tier in (a,b),!draining". Its VMs in the Service's namespace are
	// the Service's endpoints, beside the Pods of spec.selector, if there is one.
	ServiceSelectorAnnotation = "domus.dev/vm-selector"
	// ServiceNetworkAnnotation names the VirtualNetwork on which the VMs are reached.
	// Default: that of each VM's first card of type cni, or else routed, bridge or
	// direct.
	ServiceNetworkAnnotation = "domus.dev/vm-network"
	// SliceManager is the value of endpointslice.kubernetes.io/managed-by of the
	// EndpointSlices that Domus keeps.
	SliceManager = "endpointslice-controller.domus.dev"
)

// GuestPort is a port of the guest that has a name, by which targetPort of a
// Service, and a probe, may call it.
type GuestPort struct {
	// name is what it is called by, and protocol which it is of; together they tell
	// ports apart.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self.matches('[a-z]') && !self.contains('--')",message="must have a letter, and no two dashes in a row: so Kubernetes calls ports"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name"`
	// protocol is TCP, UDP or SCTP. Default TCP.
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	// +kubebuilder:default=TCP
	// +optional
	Protocol corev1.Protocol `json:"protocol,omitempty"`
	// port is its number.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// TCPSocketProbe succeeds when the guest accepts a connection.
type TCPSocketProbe struct {
	// port is a number, or the name of a TCP port in spec.ports.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 65535 : self.matches('^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$')",message="must be a number from 1 to 65535, or the name of a port in spec.ports"
	Port intstr.IntOrString `json:"port"`
}

// HTTPHeader is a header that a probe sends.
type HTTPHeader struct {
	// name is the header's.
	// +kubebuilder:validation:Pattern="^[-A-Za-z0-9!#$%&'*+.^_`|~]+$"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name"`
	// value is what it says.
	// +kubebuilder:validation:Pattern=`^[^\x00-\x08\x0a-\x1f\x7f]*$`
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`
}

// HTTPGetProbe succeeds when the guest answers with a code from 200 to 399. It goes
// to the guest alone: there is no host to be named, and a redirection is an answer and
// not followed.
type HTTPGetProbe struct {
	// path is what is asked for. Default /.
	// +kubebuilder:validation:Pattern=`^/[^\x00-\x20\x7f]*$`
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Path string `json:"path,omitempty"`
	// port is a number, or the name of a TCP port in spec.ports.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 65535 : self.matches('^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$')",message="must be a number from 1 to 65535, or the name of a port in spec.ports"
	Port intstr.IntOrString `json:"port"`
	// scheme is HTTP or HTTPS, of which the guest's certificate is not verified.
	// Default HTTP.
	// +kubebuilder:validation:Enum=HTTP;HTTPS
	// +optional
	Scheme corev1.URIScheme `json:"scheme,omitempty"`
	// httpHeaders are sent beside what the request has by itself. Host is the name
	// that the guest is asked by.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	HTTPHeaders []HTTPHeader `json:"httpHeaders,omitempty"`
}

// ReadinessProbe says how the VM's host finds out whether the guest serves, in the
// words of a Pod's probe. The result is condition Serving.
// +kubebuilder:validation:XValidation:rule="has(self.tcpSocket) != has(self.httpGet)",message="exactly one of tcpSocket and httpGet must be given"
type ReadinessProbe struct {
	// tcpSocket connects.
	// +optional
	TCPSocket *TCPSocketProbe `json:"tcpSocket,omitempty"`
	// httpGet asks for a page.
	// +optional
	HTTPGet *HTTPGetProbe `json:"httpGet,omitempty"`
	// interfaceName is the card in spec.interfaces whose address is probed. Default:
	// the one by which Services lead to the VM, or else the first on a network of the
	// host's own.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	InterfaceName string `json:"interfaceName,omitempty"`
	// initialDelaySeconds is how long after the guest's start the first probe is made.
	// Default 0.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	// +optional
	InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`
	// periodSeconds is from one probe to the next. Default 10.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`
	// timeoutSeconds is how long a probe may take. Default 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	// +optional
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
	// successThreshold is how many probes in a row must succeed after one has failed.
	// Default 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	SuccessThreshold int32 `json:"successThreshold,omitempty"`
	// failureThreshold is how many in a row must fail after one has succeeded.
	// Default 3.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
}

// Condition type and reasons of a VirtualMachine that has spec.readinessProbe.
const (
	// ConditionServing is True while spec.readinessProbe finds that the guest serves,
	// and absent when there is no guest or no probe. Written by the executor.
	ConditionServing = "Serving"
	// ReasonProbeSucceeded and ReasonProbeFailed are its reasons. ReasonProbePending:
	// too few probes of this guest have been made yet. ReasonNoProbeAddress: the guest
	// has no address that its host may probe.
	ReasonProbeSucceeded = "ProbeSucceeded"
	ReasonProbeFailed    = "ProbeFailed"
	ReasonProbePending   = "ProbePending"
	ReasonNoProbeAddress = "NoProbeAddress"
)

// GuestPortOf is the number of a TCP port that a probe names; false where spec.ports
// has none of the name.
func (s *VirtualMachineSpec) GuestPortOf(port intstr.IntOrString) (int32, bool) {
	if port.Type == intstr.Int {
		return port.IntVal, true
	}
	for _, p := range s.Ports {
		if p.Name == port.StrVal && (p.Protocol == corev1.ProtocolTCP || p.Protocol == "") {
			return p.Port, true
		}
	}
	return 0, false
}
