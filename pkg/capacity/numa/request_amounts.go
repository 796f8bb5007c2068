package numa

import "domus.dev/domus/pkg/capacity"

// Amounts is all that the request asks of the host, wherever it lies there;
// dedicated CPUs count as vCPUs.
func (r *Request) Amounts() capacity.Resources { return capacity.FromGranted(r.Granted) }

// Totals is what the request takes of the host's totals. Dedicated CPUs are not
// in it: how many the host can give depends on what else runs there.
func (r *Request) Totals() capacity.Resources { return r.need() }

// Dedicated says whether each vCPU wants a host CPU of its own.
func (r *Request) Dedicated() bool { return r.dedicated() }

// Floats says whether the request is for amounts alone: nothing of it is bound
// to a cell, a CPU or a device.
func (r *Request) Floats() bool { return r.floats() && len(r.Devices) == 0 }
