package hostheadroom

import "sync"

// described are the hosts whose Hypervisors have changed since the last cycle.
type described struct {
	mu    sync.Mutex
	names map[string]bool
}

func (d *described) add(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = map[string]bool{}
	}
	d.names[name] = true
}

// take returns the names once.
func (d *described) take() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := d.names
	d.names = nil
	return names
}
