package turns_test

import (
	"sync/atomic"
	"testing"

	"k8s.io/client-go/util/workqueue"

	"domus.dev/domus/pkg/executor/turns"
)

func TestNoKeyWaitsForAnother(t *testing.T) {
	queue := workqueue.NewTyped[string]()
	release, slow, ended := make(chan struct{}), atomic.Int32{}, make(chan struct{})
	quick := make(chan struct{}, 1)
	go func() {
		defer close(ended)
		turns.Give(queue, func(key string) {
			if key == "quick" {
				quick <- struct{}{}
				return
			}
			if slow.Add(1) > 1 {
				t.Error("a key has two turns at a time")
			}
			<-release
			slow.Add(-1)
		})
	}()
	queue.Add("slow")
	queue.Add("slow")
	queue.Add("quick")
	<-quick
	queue.Add("slow") // while it has its turn
	queue.Add("quick")
	<-quick
	queue.ShutDown()
	select {
	case <-ended:
		t.Error("a turn was not waited for")
	default:
	}
	close(release)
	<-ended
}
