package numa

import (
	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func (h Host) Limit(r capacity.Resources) Host {
	h.Allocatable.CPU = min(h.Allocatable.CPU, r.CPU)
	h.Allocatable.Memory = min(h.Allocatable.Memory, r.Memory)
	h.Allocatable.Hugepages2Mi = min(h.Allocatable.Hugepages2Mi, r.Hugepages2Mi)
	h.Allocatable.Hugepages1Gi = min(h.Allocatable.Hugepages1Gi, r.Hugepages1Gi)
	return h
}

func (u *Usage) AddFloating(r capacity.Resources) { u.granted = u.granted.Add(r) }
func FitsTotals(u *Usage, r *Request) bool        { return fitsHost(u, r) }

type dev struct{ Name string }

type Lack struct {
	Resource corev1.ResourceName
	Extent   Extent
}

func Lacks(u *Usage, r *Request) (Lack, bool) { return Lack{}, !Fits(u, r) }
func (l Lack) Reason(r *Request) string       { return "lacks" }

var _ = v1alpha1.NUMANone

func (r *Request) Amounts() capacity.Resources { return capacity.FromGranted(r.Granted) }
func (r *Request) Totals() capacity.Resources  { return r.need() }
func (r *Request) Dedicated() bool             { return r.dedicated() }
func (r *Request) Floats() bool                { return r.floats() }
func Flat(allocatable capacity.Resources) Host {
	return Host{Allocatable: allocatable, Overcommit: overcommitUnit}
}
