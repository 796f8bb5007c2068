package placement

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// enough is how long one fleet may take, the slowest of which take seconds.
const enough = 5 * time.Minute

// watch ends the whole run, and says what every goroutine does, when a fleet
// never comes to its end: neither a scheduler that never rests nor one that never
// stops would be told by a check that is never reached.
func watch(w *world) (stop func()) {
	timer := time.AfterFunc(enough, func() {
		recent := "not known: the store is locked"
		if w.store.mu.TryLock() {
			recent = w.store.recent()
			w.store.mu.Unlock()
		}
		stacks := make([]byte, 16<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		fmt.Printf("placement: a fleet did not come to its end within %s; its last writes were\n%s\n%s\n", enough, recent, stacks)
		os.Exit(1)
	})
	return func() { timer.Stop() }
}
