package podless

import (
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/labels"
	schedulinglisters "k8s.io/client-go/listers/scheduling/v1"
)

// Priorities resolves a priorityClassName, as admission does for Pods. No
// admission runs on a projection.
type Priorities interface {
	// Resolve returns the class's priority, and false when there is no such class.
	Resolve(className string) (Priority, bool)
}

// classPriorities resolves from the cluster's PriorityClasses.
type classPriorities struct {
	classes schedulinglisters.PriorityClassLister
}

// NewPriorities resolves through a lister of PriorityClasses.
func NewPriorities(classes schedulinglisters.PriorityClassLister) Priorities {
	return classPriorities{classes: classes}
}

// Resolve implements Priorities. The empty name is the global default, or 0.
func (p classPriorities) Resolve(className string) (Priority, bool) {
	if className != "" {
		class, err := p.classes.Get(className)
		if err != nil {
			return Priority{}, false
		}
		return priorityOf(class), true
	}
	all, err := p.classes.List(labels.Everything())
	if err != nil {
		return defaultPriority, true
	}
	var global *schedulingv1.PriorityClass
	for _, class := range all {
		// Two global defaults can exist for a moment; the lower one counts, as in
		// Kubernetes' own admission.
		if class.GlobalDefault && (global == nil || class.Value < global.Value) {
			global = class
		}
	}
	if global == nil {
		return defaultPriority, true
	}
	return priorityOf(global), true
}

var defaultPriority = Priority{PreemptionPolicy: corev1.PreemptLowerPriority}

func priorityOf(class *schedulingv1.PriorityClass) Priority {
	p := Priority{Value: class.Value, PreemptionPolicy: corev1.PreemptLowerPriority}
	if class.PreemptionPolicy != nil {
		p.PreemptionPolicy = *class.PreemptionPolicy
	}
	return p
}
