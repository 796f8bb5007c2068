package placementmap

import (
	"bytes"
	"container/list"
	"sync"
)

// key names a document: a VM, or a host where the namespace is empty.
type key struct{ namespace, name string }

// item is the newest state of one document. It is never changed.
type item struct {
	key      key
	revision uint64
	// data is the document as JSON; nil when it is gone.
	data []byte
}

// mostGone is how many documents that are gone are remembered. Who has missed more
// is given everything anew.
const mostGone = 4096

// journal keeps the newest state of each document once, for all who look, in the
// order in which they changed last. A reader is no more than a revision: however
// late it comes, it is told of each document once, as it is then, and costs the
// journal nothing meanwhile.
type journal struct {
	mu sync.RWMutex
	// revision is that of the newest item. Each change has the next one.
	revision uint64
	// forgotten is the revision of the newest item that is remembered no more.
	forgotten uint64
	// order has items, oldest change first; byKey finds them there.
	order *list.List
	byKey map[key]*list.Element
	// gone are the keys of items without data, oldest first.
	gone *list.List
	// changed is closed at the next change.
	changed chan struct{}
}

func newJournal() *journal {
	return &journal{order: list.New(), byKey: map[key]*list.Element{}, gone: list.New(), changed: make(chan struct{})}
}

// put takes over documents; nil data removes one. What is the same as before is
// no change.
func (j *journal) put(documents map[key][]byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.revision
	for k, data := range documents {
		j.putOne(k, data)
	}
	if j.revision == before {
		return
	}
	for j.gone.Len() > mostGone {
		oldest := j.gone.Front()
		tomb := j.gone.Remove(oldest).(item)
		// It may have come back since.
		if e := j.byKey[tomb.key]; e != nil && e.Value.(item).revision == tomb.revision {
			j.order.Remove(e)
			delete(j.byKey, tomb.key)
			j.forgotten = max(j.forgotten, tomb.revision)
		}
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) putOne(k key, data []byte) {
	e := j.byKey[k]
	switch {
	case e == nil && data == nil:
		return
	case e == nil:
	case bytes.Equal(e.Value.(item).data, data) && (data == nil) == (e.Value.(item).data == nil):
		return
	default:
		j.order.Remove(e)
	}
	j.revision++
	i := item{key: k, revision: j.revision, data: data}
	j.byKey[k] = j.order.PushBack(i)
	if data == nil {
		j.gone.PushBack(i)
	}
}

// since returns up to most items that changed after a revision, oldest change
// first, the revision up to which they tell everything, and a channel that is
// closed when there is more. It is false where what has happened since is not
// remembered.
func (j *journal) since(revision uint64, most int) (items []item, upTo uint64, changed <-chan struct{}, ok bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if revision < j.forgotten || revision > j.revision {
		return nil, 0, nil, false
	}
	first := j.order.Back()
	if first == nil || first.Value.(item).revision <= revision {
		return nil, j.revision, j.changed, true
	}
	for prev := first.Prev(); prev != nil && prev.Value.(item).revision > revision; prev = first.Prev() {
		first = prev
	}
	for e := first; e != nil && len(items) < most; e = e.Next() {
		items = append(items, e.Value.(item))
	}
	return items, items[len(items)-1].revision, j.changed, true
}

// all returns what is there, and its revision.
func (j *journal) all() ([]item, uint64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	items := make([]item, 0, j.order.Len())
	for e := j.order.Front(); e != nil; e = e.Next() {
		if i := e.Value.(item); i.data != nil {
			items = append(items, i)
		}
	}
	return items, j.revision
}

// namespaces are those of what is there.
func (j *journal) namespaces() map[string]bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	out := map[string]bool{}
	for k := range j.byKey {
		out[k.namespace] = true
	}
	return out
}
