package podless

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
)

func TestEventsOfPlacementsAreSampled(t *testing.T) {
	sink := events.NewFakeRecorder(10)
	r := newRecorder(sink, newSayings(clock.RealClock{}), flowcontrol.NewTokenBucketPassiveRateLimiter(.0001, 2))
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.UID = "ns", "vm:a.0", "u.0"
	for range 4 {
		r.Eventf(pod, nil, corev1.EventTypeNormal, "Scheduled", "Binding", "Successfully assigned %v/%v to %v", "ns", "vm:a.0", "host")
	}
	// All else is always said.
	for range 2 {
		r.Eventf(pod, nil, corev1.EventTypeNormal, "Preempted", "Preempting", "made room")
	}
	close(sink.Events)
	var got []string
	for e := range sink.Events {
		got = append(got, e)
	}
	placed, evicted := "Normal Scheduled Successfully assigned ns/a to host", "Normal Preempted made room"
	if diff := cmp.Diff([]string{placed, placed, evicted, evicted}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
