package placementmap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Explainer says where a VM would go and why, as it does for PlacementReviews.
type Explainer interface {
	Review(ctx context.Context, vm *v1alpha1.VirtualMachine, spec *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error)
}

// mostHosts is how many hosts an answer names in each of its lists.
const mostHosts = 10

// Why is what is known of why a VM is where it is, or nowhere.
type Why struct {
	VM     *VM                `json:"vm"`
	Labels map[string]string  `json:"labels,omitempty"`
	Since  metav1.Time        `json:"since"`
	Status WhyStatus          `json:"status"`
	Spec   WhySpec            `json:"spec"`
	Said   []metav1.Condition `json:"conditions,omitempty"`
	// Review is the answer of the plugins that place VMs; where there is none,
	// Unanswered says why.
	Review     *v1alpha1.PlacementReviewStatus `json:"review,omitempty"`
	Unanswered string                          `json:"unanswered,omitempty"`
}

// WhyStatus is what of a VM's status tells of its place.
type WhyStatus struct {
	Reason    string                   `json:"reason,omitempty"`
	Message   string                   `json:"message,omitempty"`
	Epoch     int64                    `json:"epoch"`
	Devices   []v1alpha1.PlacedDevice  `json:"devices,omitempty"`
	Eviction  *v1alpha1.Eviction       `json:"eviction,omitempty"`
	Excluded  []v1alpha1.HostExclusion `json:"excluded,omitempty"`
	Hold      *v1alpha1.Hold           `json:"hold,omitempty"`
	Overhead  int64                    `json:"overhead,omitempty"`
	HostState string                   `json:"hostState,omitempty"`
}

// WhySpec is what of its spec does.
type WhySpec struct {
	Class         string `json:"class,omitempty"`
	Scheduler     string `json:"scheduler,omitempty"`
	PriorityClass string `json:"priorityClass,omitempty"`
	NUMA          string `json:"numa,omitempty"`
	CPUPolicy     string `json:"cpuPolicy,omitempty"`
}

// why answers about one VM, to whoever may get it: what virtctl explain says, which
// asks for the same right.
func (s *server) why(w http.ResponseWriter, r *http.Request) {
	namespace, name := r.URL.Query().Get("namespace"), r.URL.Query().Get("name")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		refuse(w, http.StatusBadRequest, "namespace and name must be those of a VirtualMachine")
		return
	}
	viewer, _ := request.UserFrom(r.Context())
	seen := &sight{authorizer: s.Authorizer, user: viewer}
	allowed, err := seen.may(r.Context(), "get", "virtualmachines", namespace, name)
	if err != nil {
		fail(w, r, err)
		return
	}
	if !allowed {
		refuse(w, http.StatusForbidden, fmt.Sprintf("%s may not get virtualmachines in namespace %s", nameOf(viewer), namespace))
		return
	}
	select {
	case s.whys <- struct{}{}:
		defer func() { <-s.whys }()
	default:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "vm-scheduler answers others: ask again in a moment")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.times.why)
	defer cancel()
	vm := &v1alpha1.VirtualMachine{}
	if err := s.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, vm); err != nil {
		fail(w, r, err)
		return
	}
	answer := whyOf(vm)
	answer.Review, err = s.Explainer.Review(ctx, vm, &v1alpha1.PlacementReviewSpec{
		Question: v1alpha1.PlacementExplain, VirtualMachineName: name, Limit: ptr.To[int32](mostHosts),
	})
	if err != nil {
		// What the VM itself says is worth showing all the same.
		answer.Unanswered = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func nameOf(viewer user.Info) string {
	if viewer == nil {
		return "nobody"
	}
	return viewer.GetName()
}

func whyOf(vm *v1alpha1.VirtualMachine) *Why {
	status, spec := &vm.Status, &vm.Spec
	w := &Why{
		VM: vmOf(vm), Labels: vm.Labels, Since: vm.CreationTimestamp, Said: status.Conditions,
		Status: WhyStatus{
			Reason: status.Reason, Message: status.Message, Epoch: status.Epoch,
			Eviction: status.Eviction, Excluded: status.ExcludedHosts, Hold: status.Hold,
		},
		Spec: WhySpec{
			Scheduler: spec.SchedulerName, PriorityClass: spec.PriorityClassName,
			NUMA: string(spec.Resources.NUMA), CPUPolicy: string(spec.Resources.CPUPolicy),
		},
	}
	if spec.Class != nil {
		w.Spec.Class = spec.Class.Name
	}
	if p := status.Placement; p != nil {
		w.Status.Devices, w.Status.Overhead = p.Devices, p.Granted.Overhead
	}
	if status.Host != nil {
		w.Status.HostState = string(status.Host.State)
	}
	return w
}
