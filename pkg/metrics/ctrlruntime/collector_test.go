package ctrlruntime

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// kube-scheduler has work queues of client-go on its page, and controllers those of
// controller-runtime. A registry refuses a page on which they are called different
// things.
func TestQueuesOfBothKindsAreOnOnePage(t *testing.T) {
	plain := workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[string](),
		workqueue.TypedRateLimitingQueueConfig[string]{Name: "plain"})
	defer plain.ShutDown()
	controllers := priorityqueue.New[string]("controllers")
	defer controllers.ShutDown()
	for _, q := range []workqueue.TypedInterface[string]{plain, controllers} {
		q.Add("a")
		item, _ := q.Get()
		q.Done(item)
	}
	Register()
	Register() // once is enough
	deadline, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		families, err := legacyregistry.DefaultGatherer.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		for _, f := range families {
			if _, is := help[f.GetName()]; !is {
				continue
			}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "name" && (l.GetValue() == "plain" || l.GetValue() == "controllers") {
						found[f.GetName()]++
					}
				}
			}
		}
		if found["workqueue_adds_total"] == 2 && found["workqueue_depth"] == 2 && found["workqueue_work_duration_seconds"] == 2 {
			return
		}
		select {
		case <-deadline.Done():
			t.Fatalf("found %v, want a series of each queue", found)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestOnlyItsOwnIsForwarded(t *testing.T) {
	for name, want := range map[string]bool{
		"controller_runtime_reconcile_total": true, "workqueue_depth": true, "rest_client_requests_total": true, "go_goroutines": false, "process_cpu_seconds_total": false,
	} {
		if shown(name) != want {
			t.Errorf("%s is shown: %t", name, !want)
		}
	}
	if _, err := metrics.Registry.Gather(); err != nil {
		t.Fatal(err)
	}
}
