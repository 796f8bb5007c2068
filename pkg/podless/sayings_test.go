package podless

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"
	clocktesting "k8s.io/utils/clock/testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// talk is a VM that fails again and again to be scheduled, as the scheduler
// handles it: event first, then the condition.
type talk struct {
	t        *testing.T
	vm       *v1alpha1.VirtualMachine
	clock    *clocktesting.FakePassiveClock
	said     *sayings
	indexer  cache.Indexer
	client   *client
	recorder events.EventRecorder
	// events and writes are what left.
	events, writes []string
	fail           error
	// blind keeps writes from being seen.
	blind bool
}

func newTalk(t *testing.T, vm *v1alpha1.VirtualMachine) *talk {
	t.Helper()
	h := &talk{t: t, vm: vm, clock: clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))}
	h.indexer = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	h.restart()
	h.see()
	return h
}

// restart is a scheduler that has just begun.
func (h *talk) restart() {
	h.said = newSayings(h.clock)
	h.client = newClient(fake.NewClientset(), corelisters.NewPodLister(h.indexer), h, h.said)
	h.recorder = newRecorder(noted{talk: h}, h.said, flowcontrol.NewFakeAlwaysRateLimiter())
}

func (h *talk) see() {
	h.t.Helper()
	if err := h.indexer.Add(Project(h.vm, defaultPriority)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *talk) pod() *corev1.Pod {
	h.t.Helper()
	obj, ok, err := h.indexer.GetByKey("ns/" + PodName(h.vm.Name, h.vm.Status.Epoch))
	if err != nil || !ok {
		h.t.Fatalf("no pod: %v", err)
	}
	return obj.(*corev1.Pod)
}

// tried has the VM fail for a reason of this verdict, substance and text, and
// nominated to a host.
func (h *talk) tried(verdict, substance, text, nominated string) {
	h.t.Helper()
	pod := h.pod()
	r := Reason{Verdict: verdict, Substance: substance, Text: func() string { return text }}
	nominate(&r, pod, &fwk.NominatingInfo{NominatingMode: fwk.ModeOverride, NominatedNodeName: nominated})
	h.said.failed(pod, &r)
	// What the scheduler says in its own words never leaves.
	h.recorder.Eventf(pod, nil, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", "0/1 nodes: 100%s")
	status := pod.Status.DeepCopy()
	status.NominatedNodeName = nominated
	status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes " + text}}
	err := schedutil.PatchPodStatus(h.t.Context(), h.client, pod.Name, pod.Namespace, &pod.Status, status)
	if !errors.Is(err, h.fail) {
		h.t.Fatalf("writing: %v", err)
	}
}

// Pending implements Writer.
func (h *talk) Pending(_ context.Context, _ Identity, c *metav1.Condition, nominated string) error {
	if h.fail != nil {
		return h.fail
	}
	write := "nominated " + nominated
	if c != nil {
		write = c.Message + ", " + write
		h.vm.Status.Conditions = []metav1.Condition{*c}
	}
	h.writes = append(h.writes, write)
	h.vm.Status.NominatedNodeName = nominated
	if !h.blind {
		h.see()
	}
	return nil
}

// GrowthPending implements Writer.
func (h *talk) GrowthPending(_ context.Context, _ Identity, c *metav1.Condition) error {
	h.writes = append(h.writes, c.Message)
	h.vm.Status.Conditions = []metav1.Condition{*c}
	return h.indexer.Add(ProjectGrowth(h.vm, defaultPriority))
}

// Evict implements Writer.
func (*talk) Evict(context.Context, Identity, string, string) error { return nil }

// noted notes events.
type noted struct {
	events.EventRecorderLogger
	talk *talk
}

func (n noted) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	n.talk.events = append(n.talk.events, fmt.Sprintf(reason+": "+note, args...))
}

// left compares what has left since it was asked last.
func (h *talk) left(what string, writes, said []string) {
	h.t.Helper()
	if diff := cmp.Diff(writes, h.writes); diff != "" {
		h.t.Errorf("%s: writes (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(said, h.events); diff != "" {
		h.t.Errorf("%s: events (-want +got):\n%s", what, diff)
	}
	h.writes, h.events = nil, nil
}

func (h *talk) later(d time.Duration) { h.clock.SetTime(h.clock.Now().Add(d)) }

func TestOnlySubstanceIsToldAtOnce(t *testing.T) {
	h := newTalk(t, vm())
	h.tried("", "a", "12 hosts", "")
	h.left("the first time", []string{"12 hosts, nominated "}, []string{"FailedScheduling: 12 hosts"})
	h.tried("", "a", "13 hosts", "")
	h.left("another number", nil, nil)
	h.tried("", "b", "3 hosts of b", "")
	h.left("another reason", []string{"3 hosts of b, nominated "}, []string{"FailedScheduling: 3 hosts of b"})
	h.later(time.Minute)
	h.tried("", "b", "4 hosts of b", "")
	h.left("another number, later", []string{"4 hosts of b, nominated "}, []string{"FailedScheduling: 4 hosts of b"})
	h.later(time.Minute)
	h.tried("", "b", "4 hosts of b", "")
	h.left("the same", nil, nil)
	h.tried("never", "b", "no host at all", "")
	h.left("a verdict", []string{"no host at all, nominated "}, []string{"FailedScheduling: no host at all"})
	h.later(repeatedAfter)
	h.tried("never", "b", "no host at all", "")
	h.left("the same after half an hour", nil, []string{"FailedScheduling: no host at all"})
}

func TestANominationIsWrittenWithItsWords(t *testing.T) {
	h := newTalk(t, vm())
	h.tried("", "a", "12 hosts", "")
	h.left("the first time", []string{"12 hosts, nominated "}, []string{"FailedScheduling: 12 hosts"})
	const text = "13 hosts. Room is being made for it on host-a"
	h.tried("", "a", "13 hosts", "host-a")
	h.left("room is made", []string{text + ", nominated host-a"}, []string{"FailedScheduling: " + text})
	h.tried("", "a", "14 hosts", "host-a")
	h.left("room is still made", nil, nil)
	h.tried("", "a", "14 hosts", "")
	h.left("it is no more", []string{"14 hosts, nominated "}, []string{"FailedScheduling: 14 hosts"})
}

func TestWhatOthersWroteIsReplaced(t *testing.T) {
	h := newTalk(t, vm())
	h.tried("", "a", "12 hosts", "")
	h.later(seenWithin)
	h.vm.Status.Conditions[0].Message = "waits for its group"
	h.see()
	h.left("the first time", []string{"12 hosts, nominated "}, []string{"FailedScheduling: 12 hosts"})
	h.tried("", "a", "13 hosts", "")
	h.left("after another has written", []string{"13 hosts, nominated "}, []string{"FailedScheduling: 13 hosts"})
}

func TestAWriteThatIsNotSeenYetIsNotRepeated(t *testing.T) {
	h := newTalk(t, vm())
	h.blind = true
	h.tried("", "a", "12 hosts", "")
	h.tried("", "a", "13 hosts", "")
	h.left("before it is seen", []string{"12 hosts, nominated "}, []string{"FailedScheduling: 12 hosts"})
}

func TestAWriteThatFailedIsRepeated(t *testing.T) {
	h := newTalk(t, vm())
	h.fail = errors.New("the API server is away")
	h.tried("", "a", "12 hosts", "")
	h.events, h.fail = nil, nil
	h.tried("", "a", "12 hosts", "")
	h.left("when it is back", []string{"12 hosts, nominated "}, []string{"FailedScheduling: 12 hosts"})
}

func TestAfterARestartNothingIsWrittenTwice(t *testing.T) {
	h := newTalk(t, vm())
	h.tried("", "a", "12 hosts", "")
	h.left("the first time", []string{"12 hosts, nominated "}, []string{"FailedScheduling: 12 hosts"})
	h.restart()
	h.tried("", "a", "12 hosts", "")
	h.left("after a restart", nil, []string{"FailedScheduling: 12 hosts"})
	h.restart()
	h.tried("", "a", "13 hosts", "")
	h.left("after another", []string{"13 hosts, nominated "}, []string{"FailedScheduling: 13 hosts"})
}

func TestSayingsAreForgotten(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(h *talk, handler cache.ResourceEventHandler)
		kept int
	}{
		"it is seen to wait": {func(h *talk, handler cache.ResourceEventHandler) { handler.OnUpdate(h.pod(), h.pod()) }, 1},
		"it is bound": {func(h *talk, handler cache.ResourceEventHandler) {
			bound := h.pod().DeepCopy()
			bound.Spec.NodeName = "host"
			handler.OnUpdate(h.pod(), bound)
		}, 0},
		"it is gone": {func(h *talk, handler cache.ResourceEventHandler) { handler.OnDelete(h.pod()) }, 0},
		"nobody saw it go": {func(h *talk, handler cache.ResourceEventHandler) {
			handler.OnDelete(cache.DeletedFinalStateUnknown{Obj: h.pod()})
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTalk(t, vm())
			h.tried("", "a", "12 hosts", "")
			test.end(h, h.said.follow())
			if n := len(h.said.byUID); n != test.kept {
				t.Errorf("%d are kept, want %d", n, test.kept)
			}
			if _, due := h.said.event(h.pod().UID); due != (test.kept > 0) {
				t.Errorf("there is an event: %t", due)
			}
		})
	}
}

func TestALongEventIsCut(t *testing.T) {
	h := newTalk(t, vm())
	h.tried("", "a", strings.Repeat("ü", 1000), "")
	if got := h.events[0]; len(got) > len("FailedScheduling: ")+1024 || !strings.HasSuffix(got, "ü ...") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	if got := h.writes[0]; !strings.HasPrefix(got, strings.Repeat("ü", 1000)) {
		t.Errorf("the condition is cut: %s", got)
	}
}

func TestReasonsThatAreNoneOfHosts(t *testing.T) {
	of := func(s *fwk.Status) Reason {
		return reasonOf(s, func(fit *framework.FitError) Reason {
			return Reason{Text: func() string { return fmt.Sprint("of ", fit.NumAllNodes) }}
		})
	}
	group := func(scheduled int) *fwk.Status {
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("minCount (3) cannot be satisfied: %d scheduled, 0 remaining", scheduled), "pod group preemption: No preemption victims found for incoming preemptor").
			WithError(errors.New("pod group is unschedulable"))
	}
	for name, test := range map[string]struct {
		status *fwk.Status
		want   string
	}{
		"hosts":    {fwk.NewStatus(fwk.Unschedulable).WithError(&framework.FitError{NumAllNodes: 7}), "of 7"},
		"no hosts": {fwk.NewStatus(fwk.UnschedulableAndUnresolvable).WithError(scheduler.ErrNoNodesAvailable), "there are no hosts"},
		"a group":  {group(2), "its group cannot be placed as a whole: minCount (3) cannot be satisfied: 2 scheduled, 0 remaining. Evicting VMs of lower priority would not make room"},
		"an error": {fwk.AsStatus(errors.New("binding to host-1: it is away")), "binding to host-1: it is away"},
	} {
		if got := of(test.status).Text(); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	if of(group(2)).Substance != of(group(1)).Substance {
		t.Error("numbers alone make another substance of a group's reason")
	}
	if of(group(2)).Substance == of(fwk.AsStatus(errors.New("away"))).Substance {
		t.Error("an error is as good as a group's reason")
	}
}
