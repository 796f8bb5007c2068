// Package turns gives the keys of a queue their turns.
package turns

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// Give calls turn with each key that the queue gives, until the queue is shut down
// and all turns have ended: one at a time for each key, and no key waits for
// another's turn.
func Give[K comparable](queue workqueue.TypedInterface[K], turn func(K)) {
	var turns sync.WaitGroup
	defer turns.Wait()
	for {
		key, shutdown := queue.Get()
		if shutdown {
			return
		}
		turns.Go(func() {
			defer queue.Done(key)
			turn(key)
		})
	}
}

// Settle has a key whose turn ended with err have another with back-off, and one
// whose turn went well another after a while; none where that is 0.
func Settle[K comparable](queue workqueue.TypedRateLimitingInterface[K], key K, after time.Duration, err error) {
	if err != nil {
		queue.AddRateLimited(key)
		return
	}
	queue.Forget(key)
	if after > 0 {
		queue.AddAfter(key, after)
	}
}
