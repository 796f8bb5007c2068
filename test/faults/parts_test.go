package faults

import "testing"

// TestPartsAreTheTable: whoever holds all parts has held every row once, in order.
func TestPartsAreTheTable(t *testing.T) {
	all := strikes(table)
	for of := 1; of <= 5; of++ {
		next := 0
		for number := 1; number <= of; number++ {
			from, to := begin(all, number-1, of), begin(all, number, of)
			if from != next || to <= from {
				t.Errorf("part %d of %d has the strikes from %d up to %d; the one before ended at %d", number, of, from, to, next)
			}
			next = to
		}
		if next != len(all) {
			t.Errorf("%d parts have %d of %d strikes", of, next, len(all))
		}
	}
	rows := 0
	for _, strike := range all {
		for _, r := range strike {
			if r.number != rows {
				t.Errorf("row %d comes after row %d", r.number, rows-1)
			}
			rows++
		}
		if len(strike) > room {
			t.Errorf("one strike is for %d VMs, and the host has room for %d", len(strike), room)
		}
	}
	if rows != len(table) {
		t.Errorf("%d of %d rows are held", rows, len(table))
	}
}
