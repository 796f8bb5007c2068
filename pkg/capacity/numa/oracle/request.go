package oracle

import "domus.dev/domus/pkg/api/v1alpha1"

// Request is what a VM asks of a host. It has the fields of numa.Request, which
// converts to it, and nothing else of it.
type Request struct {
	Granted   v1alpha1.GrantedResources
	NUMA      v1alpha1.NUMAPolicy
	CPUPolicy v1alpha1.CPUPolicy
	Threads   v1alpha1.ThreadPolicy
	Devices   []v1alpha1.DeviceRequest
	// Grows is never set: a VM that grows is held against the oracle as a whole.
	Grows bool
}

func (r *Request) dedicated() bool { return r.CPUPolicy == v1alpha1.CPUDedicated }

func (r *Request) apart() bool { return r.dedicated() && r.Threads == v1alpha1.ThreadsApart }

func (r *Request) bindsMemory() bool { return r.NUMA != "" && r.NUMA != v1alpha1.NUMANone }

// exactCells is up to how many cells hosts are searched exhaustively by what is
// tested; on larger ones it may miss a set of several cells.
const exactCells = 8

// Broken says which promise of the host the placements break, or nothing.
func Broken(status *v1alpha1.HypervisorStatus, placed []v1alpha1.Placement) string {
	return New(status, placed).Broken()
}

// Fits says whether the host holds the request beside the placements. It is not
// known where what is tested need not find every place there is.
func Fits(status *v1alpha1.HypervisorStatus, placed []v1alpha1.Placement, r Request) (fits, known bool) {
	t := New(status, placed)
	switch {
	case r.bindsMemory():
		known = len(t.Cells) <= exactCells || r.NUMA == v1alpha1.NUMASingleCell
		return known && len(t.Placements(&r)) > 0, known
	case r.dedicated():
		return t.Pinnable(&r)
	}
	devices, enough := t.Given(&r, nil)
	return enough && t.Takes(&r, &v1alpha1.Placement{Granted: r.Granted, Devices: devices}), true
}
