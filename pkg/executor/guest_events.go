package executor

import (
	"time"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A guest can have as many of its disk's errors, or reboots, as it likes. The
	// API hears little of that, since events of one kind are a series; we do, of
	// each kind, tellBurst at once and then one in tellEvery, and pass over the
	// rest.
	tellBurst = 20
	tellEvery = 5 * time.Second
)

// told is a kind of event of a domain.
type told struct {
	uuid string
	kind libvirt.EventKind
}

// happened tells of what happened in a guest of ours. Only hear calls it.
func (a *Agent) happened(e libvirt.Event) {
	o, known := a.registry.owner(a.clusterID, e.UUID)
	if !known {
		return
	}
	key := told{uuid: e.UUID, kind: e.Kind}
	limit := a.telling[key]
	if limit == nil {
		limit = rate.NewLimiter(rate.Every(tellEvery), tellBurst)
		a.telling[key] = limit
	}
	if !limit.AllowN(a.clock.Now(), 1) {
		return
	}
	a.tell.happened(&v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID}}, e)
}

// untell forgets what was told of a domain that is gone. Only hear calls it.
func (a *Agent) untell(uuid string) {
	for key := range a.telling {
		if key.uuid == uuid {
			delete(a.telling, key)
		}
	}
}
