package podless

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// sayings are the words with which VMs wait, by the UID of the projected Pod.
// kube-scheduler has words of its own, new ones each time that a host changes;
// where it writes these, client and recorder ask here for what is to stand
// there. Nothing of this is stored: after a restart a VM that waits is told of
// once more.
type sayings struct {
	clock clock.PassiveClock

	mu    sync.Mutex
	byUID map[types.UID]*saying
}

type saying struct {
	told told
	// text is what the VM's condition is to say, before what it said before.
	text, before string
	// silent says that the condition stands as it is.
	silent bool
	// event says that an event is to be recorded, eventAt when the last one was.
	event   bool
	eventAt time.Time
}

// seenWithin is how long a write may take to be seen. A condition that says
// something else after that was written by somebody else.
const seenWithin = 5 * time.Second

func newSayings(clk clock.PassiveClock) *sayings {
	return &sayings{clock: clk, byUID: map[types.UID]*saying{}}
}

// follow is a handler for projected Pods: VMs that do not wait any more are
// forgotten.
func (s *sayings) follow() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) {
			if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
				s.forget(pod.UID)
			}
		},
		DeleteFunc: func(obj any) {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				s.forget(pod.UID)
			}
		},
	}
}

func (s *sayings) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byUID, uid)
}

// failed decides what to say of a Pod, as it is shown now, that found no host
// for the reason: the words that are there, or new ones. No Pod fails twice at a
// time.
func (s *sayings) failed(pod *corev1.Pod, r *Reason) {
	now := s.clock.Now()
	text, due := "", s.due(pod, r, now)
	if due {
		text = r.Text() // takes its time
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.byUID[pod.UID]
	if said == nil {
		return // it has ended meanwhile
	}
	said.silent = !due || text == said.text
	if !said.silent {
		said.before, said.text = "", text
		if shown := waitsWith(pod); shown != nil {
			said.before = shown.Message
		}
	}
	if said.event = !said.silent || now.Sub(said.eventAt) >= repeatedAfter; said.event {
		said.eventAt = now
	}
}

// due says whether words are to be made, and notes it.
func (s *sayings) due(pod *corev1.Pod, r *Reason, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := waitsWith(pod)
	said := s.byUID[pod.UID]
	if said == nil || !said.stands(shown, now) {
		said = &saying{told: told{since: now}}
		if shown != nil {
			said.told.since = shown.LastTransitionTime.Time
		}
		s.byUID[pod.UID] = said
	}
	due := said.told.due(r, now)
	if due {
		said.told.tell(r, now)
	}
	return due
}

// stands says whether a VM's condition still says what it was told to say.
func (s *saying) stands(shown *corev1.PodCondition, now time.Time) bool {
	if shown != nil && shown.Message == s.text {
		return true
	}
	message := ""
	if shown != nil {
		message = shown.Message
	}
	return message == s.before && now.Sub(s.told.at) < seenWithin
}

// waitsWith is the condition with which a Pod is shown to wait; nil if there is
// none.
func waitsWith(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c
		}
	}
	return nil
}

// event is the text of an event that a Pod found no host; false when there is to
// be none.
func (s *sayings) event(uid types.UID) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.byUID[uid]
	if said == nil {
		return "", false
	}
	return said.text, said.event
}

// put replaces what the scheduler would write of a Pod, which is shown as pod,
// to say that it waits. It returns nil when there is nothing to write.
func (s *sayings) put(pod *corev1.Pod, c *corev1.PodCondition) *corev1.PodCondition {
	shown := waitsWith(pod)
	if shown != nil && c.Message == shown.Message && c.Reason == shown.Reason {
		return nil // the scheduler writes something else
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.byUID[pod.UID]
	if said == nil {
		return c
	}
	if said.silent || shown != nil && said.text == shown.Message {
		return nil
	}
	out := *c
	out.Message = said.text
	return &out
}

// lost notes that the words of a Pod have not been written.
func (s *sayings) lost(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if said := s.byUID[uid]; said != nil {
		said.told.at = time.Time{}
		said.text = ""
	}
}
