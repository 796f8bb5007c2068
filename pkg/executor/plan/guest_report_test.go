package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func TestWhatIsKnownOfAGuestIsReported(t *testing.T) {
	const (
		absent = metav1.ConditionStatus("")
		yes    = metav1.ConditionTrue
		no     = metav1.ConditionFalse
		dunno  = metav1.ConditionUnknown
	)
	reached := &v1alpha1.GuestStatus{Hostname: "web-1", Addresses: "10.0.2.15"}
	earlier := &v1alpha1.GuestStatus{Hostname: "earlier"}
	for name, c := range map[string]struct {
		guest  *v1alpha1.GuestStatus
		before metav1.ConditionStatus
		view   GuestView
		state  v1alpha1.HostState
		fresh  bool

		want      *v1alpha1.GuestStatus
		condition metav1.ConditionStatus
	}{
		"a guest that was just started": {
			guest: earlier, before: yes, view: GuestView{Channel: libvirt.AgentClosed}, state: v1alpha1.HostRunning, fresh: true,
			condition: dunno,
		},
		"a guest without a channel": {
			guest: earlier, before: yes, view: GuestView{}, state: v1alpha1.HostRunning,
		},
		"no agent was ever heard": {
			before: dunno, view: GuestView{Channel: libvirt.AgentClosed, Voice: VoiceSilent}, state: v1alpha1.HostRunning,
			condition: dunno,
		},
		"its channel is open and it was not asked yet": {
			before: dunno, view: GuestView{Channel: libvirt.AgentOpen}, state: v1alpha1.HostRunning,
			condition: dunno,
		},
		"it answers": {
			before: dunno, view: GuestView{Channel: libvirt.AgentOpen, Voice: VoiceAnswers, Said: reached}, state: v1alpha1.HostRunning,
			want: reached, condition: yes,
		},
		"it is away for a moment": {
			guest: reached, before: yes, view: GuestView{Channel: libvirt.AgentClosed, Said: reached}, state: v1alpha1.HostRunning,
			want: reached, condition: yes,
		},
		"it is away, and what it said stays": {
			guest: reached, before: yes, view: GuestView{Channel: libvirt.AgentClosed, Voice: VoiceSilent, Said: reached}, state: v1alpha1.HostRunning,
			want: reached, condition: no,
		},
		"it has never answered, with its channel open": {
			before: dunno, view: GuestView{Channel: libvirt.AgentOpen, Voice: VoiceSilent}, state: v1alpha1.HostRunning,
			condition: no,
		},
		"an executor that remembers nothing leaves it as it is": {
			guest: earlier, before: yes, view: GuestView{Channel: libvirt.AgentOpen}, state: v1alpha1.HostRunning,
			want: earlier, condition: yes,
		},
		"a guest that is paused": {
			guest: earlier, before: yes, view: GuestView{Channel: libvirt.AgentOpen, Voice: VoiceSilent}, state: v1alpha1.HostPaused,
			want: earlier, condition: yes,
		},
		"a guest that shuts down": {
			guest: earlier, before: yes, view: GuestView{Channel: libvirt.AgentClosed, Voice: VoiceSilent}, state: v1alpha1.HostStopping,
			want: earlier, condition: yes,
		},
		"a guest that is off":           {guest: earlier, before: yes, state: v1alpha1.HostStopped},
		"a guest that has ended":        {guest: earlier, before: yes, state: v1alpha1.HostEnded},
		"a guest that failed":           {guest: earlier, before: no, state: v1alpha1.HostFailed},
		"a guest whose memory is saved": {guest: earlier, before: yes, state: v1alpha1.HostSuspended},
		"a guest that is gone":          {guest: earlier, before: yes, state: v1alpha1.HostGone},
	} {
		t.Run(name, func(t *testing.T) {
			other := metav1.Condition{Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionTrue}
			status := &v1alpha1.VirtualMachineStatus{Guest: c.guest, Conditions: []metav1.Condition{other}}
			if c.before != absent {
				status.Conditions = append(status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAgentConnected, Status: c.before})
			}
			c.view.apply(status, c.state, c.fresh, vmtest.Now)
			again := status.DeepCopy()
			c.view.apply(again, c.state, false, vmtest.Now.Add(time.Hour))
			if diff := cmp.Diff(status, again); diff != "" {
				t.Errorf("applied twice: %s", diff)
			}
			if diff := cmp.Diff(c.want, status.Guest); diff != "" {
				t.Errorf("guest: %s", diff)
			}
			got := map[string]metav1.ConditionStatus{}
			for _, condition := range status.Conditions {
				got[condition.Type] = condition.Status
			}
			want := map[string]metav1.ConditionStatus{v1alpha1.ConditionScheduled: yes}
			if c.condition != absent {
				want[v1alpha1.ConditionAgentConnected] = c.condition
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("conditions: %s", diff)
			}
		})
	}
}
