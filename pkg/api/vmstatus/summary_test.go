package vmstatus

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func condition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "why " + reason}
}

func TestWhatMattersMostIsShown(t *testing.T) {
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	scheduled := condition(v1alpha1.ConditionScheduled, yes, v1alpha1.ReasonScheduled)
	runs := condition(v1alpha1.ConditionReady, yes, "Running")
	edited := condition(v1alpha1.ConditionRestartRequired, yes, v1alpha1.ReasonSpecChanged)
	silent := condition(v1alpha1.ConditionAgentConnected, no, v1alpha1.ReasonAgentSilent)
	waits := condition(v1alpha1.ConditionResizePending, yes, v1alpha1.ReasonGrowthWaits)
	away := condition(v1alpha1.ConditionHostReachable, no, v1alpha1.ReasonHostUnreachable)
	for name, test := range map[string]struct {
		host       v1alpha1.HostState
		conditions []metav1.Condition
		want       string
	}{
		"nothing is known":                      {"", nil, ""},
		"all is well":                           {"Running", []metav1.Condition{scheduled, runs}, ""},
		"no agent was heard yet":                {"Running", []metav1.Condition{scheduled, runs, condition(v1alpha1.ConditionAgentConnected, unknown, v1alpha1.ReasonAgentSilent)}, ""},
		"the agent has gone silent":             {"Running", []metav1.Condition{scheduled, runs, silent}, "AgentSilent"},
		"it runs with another spec":             {"Running", []metav1.Condition{scheduled, runs, silent, edited}, "RestartRequired"},
		"it waits to grow, and needs a restart": {"Running", []metav1.Condition{scheduled, runs, edited, waits}, "GrowthWaits"},
		"it waits to grow while it is away":     {"Running", []metav1.Condition{scheduled, runs, waits, away}, "HostUnreachable"},
		"it runs and could not be paused":       {"Running", []metav1.Condition{scheduled, edited, condition(v1alpha1.ConditionReady, yes, v1alpha1.ReasonPauseFailed)}, "PauseFailed"},
		"it is paused, as the phase says":       {"Paused", []metav1.Condition{scheduled, condition(v1alpha1.ConditionReady, no, "Paused"), silent}, "Paused"},
		"it is paused, and was edited":          {"Paused", []metav1.Condition{scheduled, condition(v1alpha1.ConditionReady, no, "Paused"), edited}, "RestartRequired"},
		"it is paused since a disk is full":     {"Paused", []metav1.Condition{scheduled, edited, condition(v1alpha1.ConditionReady, no, v1alpha1.ReasonDiskFull)}, "DiskFull"},
		"a condition that is new here":          {"Running", []metav1.Condition{scheduled, runs, edited, condition("Novel", no, "NotSo")}, "NotSo"},
		"another that is new and good":          {"Running", []metav1.Condition{scheduled, runs, condition("Novel", yes, "So")}, ""},
		"its host is away":                      {"Running", []metav1.Condition{scheduled, runs, edited, away}, "HostUnreachable"},
		"it has no host":                        {"", []metav1.Condition{condition(v1alpha1.ConditionReady, no, "Evicted"), condition(v1alpha1.ConditionScheduled, no, v1alpha1.ReasonUnschedulable)}, "Unschedulable"},
		"what an earlier host said is over":     {"", []metav1.Condition{condition(v1alpha1.ConditionReady, no, v1alpha1.ReasonHostUnfit), scheduled}, ""},
		"no restart is needed, said in words":   {"Running", []metav1.Condition{scheduled, runs, condition(v1alpha1.ConditionRestartRequired, no, "No")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := v1alpha1.VirtualMachineStatus{Epoch: 2, Conditions: test.conditions, Reason: "Stale", Message: "stale"}
			s.Host = &v1alpha1.HostStatus{Epoch: 1, State: v1alpha1.HostRejected}
			if test.host != "" {
				s.Host = &v1alpha1.HostStatus{Epoch: 2, State: test.host}
			}
			for range 2 { // whichever order they were added in
				summarize(&s)
				if s.Reason != test.want {
					t.Errorf("reason %q, want %q", s.Reason, test.want)
				}
				if (s.Reason == "") != (s.Message == "") {
					t.Errorf("reason %q with message %q", s.Reason, s.Message)
				}
				slices.Reverse(s.Conditions)
			}
		})
	}
}

func TestWhichHostRefusedAVMLastIsShownWhileItHasNone(t *testing.T) {
	until := func(name string, minute int) v1alpha1.HostExclusion {
		return v1alpha1.HostExclusion{NodeName: name, Message: "of " + name, Until: metav1.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)}
	}
	for want, test := range map[string]struct {
		reason   string
		excluded []v1alpha1.HostExclusion
	}{
		"why Unschedulable":                                     {v1alpha1.ReasonUnschedulable, nil},
		"why Unschedulable; a refused it: of a":                 {v1alpha1.ReasonUnschedulable, []v1alpha1.HostExclusion{until("a", 1)}},
		"why InvalidDomain":                                     {v1alpha1.ReasonInvalidDomain, []v1alpha1.HostExclusion{until("a", 1)}},
		"why Unschedulable; b, the last of 3, refused it: of b": {v1alpha1.ReasonUnschedulable, []v1alpha1.HostExclusion{until("a", 1), until("b", 7), until("c", 3)}},
	} {
		s := v1alpha1.VirtualMachineStatus{ExcludedHosts: test.excluded, Conditions: []metav1.Condition{condition(v1alpha1.ConditionScheduled, metav1.ConditionFalse, test.reason)}}
		for range 2 {
			if summarize(&s); s.Message != want {
				t.Errorf("%q, want %q", s.Message, want)
			}
		}
	}
}
