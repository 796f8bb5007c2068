package numa

// Quality rates the place that Choose would find: over how many cells the
// request would lie, and how full these would then be in percent of their guest
// memory of the request's kind. Both are 0 where it does not fit or binds no
// memory. It does not allocate.
func Quality(u *Usage, r *Request) (cells int, utilization int64) {
	if !r.bindsMemory() || !FitsTotals(u, r) {
		return 0, 0
	}
	var s search
	s.start(u, r)
	var d division
	if !s.divide(r.NUMA, &d) {
		return 0, 0
	}
	p, _ := poolOf(r.Granted.PageSize)
	var total, used int64
	for i := range s.cells() {
		if d[i].vcpus == 0 {
			continue
		}
		cells++
		total += u.host.Cells[i].memory(p)
		used += u.cells[i].memory[p] + d[i].memory
	}
	if total == 0 {
		return cells, 0
	}
	return cells, percent(used, total)
}

// percent is part of whole in percent, whatever their size.
func percent(part, whole int64) int64 { return int64(100 * (float64(part) / float64(whole))) }
