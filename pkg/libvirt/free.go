package libvirt

// freePages is what running domains leave of the cells' pools. Pages that are
// bound to a cell are taken there. The others are taken where there are some,
// lowest cell first, as nothing says where they lie.
func freePages(cells []Cell, domains []Domain) []CellFree {
	free := make([]CellFree, len(cells))
	index := make(map[int32]int, len(cells))
	for i, c := range cells {
		free[i] = CellFree{Cell: c.ID, Pages: c.Pages}
		index[c.ID] = i
	}
	var floating Pages
	for _, d := range domains {
		if !d.State.Active() {
			continue
		}
		rest := d.Memory
		for _, bound := range d.Binding.Cells {
			if i, known := index[bound.Cell]; known {
				free[i].Pages = free[i].Pages.less(pagesOf(bound.Memory, d.PageSize))
				rest -= bound.Memory
			}
		}
		floating = floating.Add(pagesOf(rest, d.PageSize))
	}
	for i := range free {
		taken := Pages{
			Size2Mi: min(floating.Size2Mi, max(free[i].Pages.Size2Mi, 0)),
			Size1Gi: min(floating.Size1Gi, max(free[i].Pages.Size1Gi, 0)),
		}
		free[i].Pages, floating = free[i].Pages.less(taken), floating.less(taken)
		free[i].Pages.Size2Mi, free[i].Pages.Size1Gi = max(free[i].Pages.Size2Mi, 0), max(free[i].Pages.Size1Gi, 0)
	}
	return free
}

// pagesOf is how many pages of a size hold memory (both in bytes).
func pagesOf(memory, pageSize int64) Pages {
	switch pageSize {
	case 2 << 20:
		return Pages{Size2Mi: (memory + 2<<20 - 1) >> 21}
	case 1 << 30:
		return Pages{Size1Gi: (memory + 1<<30 - 1) >> 30}
	}
	return Pages{}
}

func (p Pages) less(o Pages) Pages {
	return Pages{Size2Mi: p.Size2Mi - o.Size2Mi, Size1Gi: p.Size1Gi - o.Size1Gi}
}
