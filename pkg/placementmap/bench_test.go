package placementmap

import (
	"compress/gzip"
	"fmt"
	"io"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
)

// largeFleet has 500 hosts of 10 VMs each.
func largeFleet(b *testing.B) (*Fleet, *informer) {
	b.Helper()
	vms, hypervisors, nodes := &informer{}, &informer{}, &informer{}
	fleet, err := NewFleet(vms, hypervisors, nodes)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 500 {
		hv := newHypervisor(fmt.Sprint("host-", i))
		hypervisors.set(hv)
		nodes.set(newNode(hv))
		for j := range 10 {
			vms.set(on(newVM(fmt.Sprint("team-", j), fmt.Sprint("vm-", i), 2, 2), hv.Name))
		}
	}
	if err := fleet.update(); err != nil {
		b.Fatal(err)
	}
	return fleet, vms
}

// What a VM's change costs, whoever looks: two documents, its own and its host's.
func BenchmarkChange(b *testing.B) {
	fleet, vms := largeFleet(b)
	for i := 0; b.Loop(); i++ {
		vms.set(on(newVM("team-1", "vm-1", int32(1+i%2), 2), "host-1"))
		if err := fleet.update(); err != nil {
			b.Fatal(err)
		}
	}
}

// What it costs to show everything to one who comes, zipped.
func BenchmarkState(b *testing.B) {
	fleet, _ := largeFleet(b)
	seen := &sight{user: &user.DefaultInfo{}, hosts: true, everywhere: true}
	b.ReportAllocs()
	for b.Loop() {
		items, _ := fleet.journal.all()
		zip, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		if err := writeDocument(zip, "p.1", seen, items); err != nil {
			b.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
