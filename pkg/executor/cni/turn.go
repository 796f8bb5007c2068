package cni

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// turns lets one caller at a time work for a VM.
type turns struct {
	mu   sync.Mutex
	held map[types.UID]chan struct{} // closed when the holder is done
}

// take waits for the VM's turn; done gives it up.
func (t *turns) take(ctx context.Context, uid types.UID) (done func(), err error) {
	for {
		t.mu.Lock()
		held, busy := t.held[uid]
		if !busy {
			if t.held == nil {
				t.held = map[types.UID]chan struct{}{}
			}
			mine := make(chan struct{})
			t.held[uid] = mine
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.held, uid)
				t.mu.Unlock()
				close(mine)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
