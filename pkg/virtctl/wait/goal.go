// Package wait waits until VMs are in a state, and tells what each of them waits
// for meanwhile.
package wait

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

// State is what a VM can be waited for to be.
type State string

// The states.
const (
	// Running: the guest runs.
	Running State = "running"
	// Stopped: there is no guest, and none is started by itself.
	Stopped State = "stopped"
	// Paused: the guest's CPUs stand still, as asked.
	Paused State = "paused"
	// Suspended: the guest's memory is saved on its host.
	Suspended State = "suspended"
	// Deleted: there is no such VM any more.
	Deleted State = "deleted"

	// condition: a condition of the VM has a status.
	condition State = "condition"
)

// states are those that can be named.
var states = []State{Running, Stopped, Paused, Suspended, Deleted}

// Goal is what is waited for.
type Goal struct {
	state     State
	condition string
	status    metav1.ConditionStatus
}

// GoalOf returns the goal that a VM is in state.
func GoalOf(state State) Goal { return Goal{state: state} }

// GoalOfPower returns the goal that a VM is as spec.powerState asks.
func GoalOfPower(power v1alpha1.PowerState) Goal {
	return GoalOf(State(strings.ToLower(string(power))))
}

// Parse reads the goal of a command line: a state, or condition=TYPE[=STATUS]
// with True as the default status.
func Parse(text string) (Goal, error) {
	for _, state := range states {
		if strings.EqualFold(text, string(state)) {
			return GoalOf(state), nil
		}
	}
	kind, rest, found := strings.Cut(text, "=")
	if found && strings.EqualFold(kind, string(condition)) {
		name, status, given := strings.Cut(rest, "=")
		if !given {
			status = string(metav1.ConditionTrue)
		}
		for _, known := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
			if name != "" && strings.EqualFold(status, string(known)) {
				return Goal{state: condition, condition: name, status: known}, nil
			}
		}
		return Goal{}, failure.Usage("--for=%s: write condition=TYPE or condition=TYPE=STATUS, such as condition=Ready=False; a status is True, False or Unknown", text)
	}
	return Goal{}, failure.Usage("--for=%q is nothing to wait for: give running, stopped, paused, suspended, deleted or condition=TYPE[=STATUS]", text)
}

func (g Goal) String() string {
	if g.state == condition {
		return "condition=" + g.condition + "=" + string(g.status)
	}
	return string(g.state)
}

// infinitive is what a VM waits to.
func (g Goal) infinitive() string {
	if g.state == condition {
		return "have " + g.String()
	}
	return "be " + g.String()
}

// missed says of a VM that it has not come there.
func (g Goal) missed() string {
	if g.state == condition {
		return "has not " + g.String()
	}
	return "is not " + g.String()
}

// reached says it of a VM when the wait is over.
func (g Goal) reached() string {
	switch g.state {
	case Running:
		return "runs"
	case Deleted:
		return "is gone"
	case condition:
		return "has condition " + g.condition + "=" + string(g.status)
	}
	return "is " + string(g.state)
}
