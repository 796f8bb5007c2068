package fleet

import "sync"

// listeners are told which hosts are described anew.
type listeners struct {
	mu   sync.RWMutex
	each []func(name string)
}

// OnDescribed has tell called with a host's name after each change of its
// Hypervisor, also when it is gone: for what is kept from cycle to cycle, where
// asking each host for its Usage would be most of the cycle. tell must be quick
// and safe for concurrent use.
func (f *Fleet) OnDescribed(tell func(name string)) {
	f.listeners.mu.Lock()
	defer f.listeners.mu.Unlock()
	f.listeners.each = append(f.listeners.each, tell)
}

func (l *listeners) tell(name string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, tell := range l.each {
		tell(name)
	}
}
