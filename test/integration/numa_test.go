package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func TestPlacementOnCells(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	// Of every 4 CPUs and 8 pages there are as many cells as a case wants.
	four := shape{cpus: 4, threads: 2, memory: 16 * gib, pages1Gi: 8}
	with := func(cells int, devices ...v1alpha1.HostDevice) shape {
		s := four
		s.cells, s.devices = cells, devices
		return s
	}
	const huge = v1alpha1.PageSize1Gi
	for name, test := range map[string]struct {
		host    shape
		cpu     int32
		gb      int64
		asks    []func(*v1alpha1.VirtualMachine)
		cells   []v1alpha1.PlacedCell
		size    v1alpha1.PageSize
		devices []v1alpha1.PlacedDevice
	}{
		"hugepages and CPUs of one cell": {
			host: with(4), cpu: 4, gb: 8, asks: []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMASingleCell), dedicated, hugepages(huge)},
			cells: []v1alpha1.PlacedCell{{CPU: 4, Memory: 8 * gib, CPUs: "0-3"}}, size: huge,
		},
		"one cell, CPUs shared, ordinary memory": {
			host: with(2), cpu: 3, gb: 5, asks: []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMASingleCell)},
			cells: []v1alpha1.PlacedCell{{CPU: 3, Memory: 5 * gib}},
		},
		"as few cells as can hold it": {
			host: with(4), cpu: 8, gb: 12, asks: []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMARestricted), dedicated, hugepages(huge)},
			cells: []v1alpha1.PlacedCell{{CPU: 4, Memory: 6 * gib, CPUs: "0-3"}, {ID: 1, CPU: 4, Memory: 6 * gib, CPUs: "4-7"}}, size: huge,
		},
		"as many cells as can hold it": {
			host: with(2), cpu: 4, gb: 6, asks: []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMASpread), dedicated, hugepages(huge)},
			cells: []v1alpha1.PlacedCell{{CPU: 2, Memory: 3 * gib, CPUs: "0-1"}, {ID: 1, CPU: 2, Memory: 3 * gib, CPUs: "4-5"}}, size: huge,
		},
		"siblings stay idle": {
			host: with(2), cpu: 2, gb: 2, asks: []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMASingleCell), dedicated, threadsApart},
			cells: []v1alpha1.PlacedCell{{CPU: 2, Memory: 2 * gib, CPUs: "0,2", Idle: "1,3"}},
		},
		"CPUs alone": {
			host: with(2), cpu: 2, gb: 20, asks: []func(*v1alpha1.VirtualMachine){dedicated},
			cells: []v1alpha1.PlacedCell{{CPU: 2, CPUs: "0-1"}},
		},
		"devices near its cell": {
			host: with(2, functions("vf", 2, 2)[2:]...), cpu: 2, gb: 2, asks: []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMASingleCell), devices("vf", 2)},
			cells:   []v1alpha1.PlacedCell{{ID: 1, CPU: 2, Memory: 2 * gib}},
			devices: []v1alpha1.PlacedDevice{{Name: "vf", Address: "0000:02:00.0"}, {Name: "vf", Address: "0000:02:00.1"}},
		},
		"a device and nothing of cells": {
			host: with(1, functions("gpu", 1, 1)...), cpu: 1, gb: 1, asks: []func(*v1alpha1.VirtualMachine){devices("gpu", 1)},
			devices: []v1alpha1.PlacedDevice{{Name: "gpu", Address: "0000:01:00.0"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t, nil)
			host := described(t, ns, 1, test.host)[0]
			// Once this one is placed its host is known, cells and all: then nothing
			// but the binding is to be written.
			probe := newVM(ns, "probe", 1, 1, numaPolicy(v1alpha1.NUMASingleCell))
			create(t, probe)
			waitVM(t, ns, "probe", bound)
			remove(probe)
			create(t, newVM(ns, "vm", test.cpu, test.gb, test.asks...))
			vm := waitVM(t, ns, "vm", bound)
			want := &v1alpha1.Placement{
				NodeName: host, Cells: test.cells, Devices: test.devices,
				Granted: v1alpha1.GrantedResources{CPU: test.cpu, Memory: test.gb * gib, Overhead: capacity.Desired(&vm.Spec).Overhead, PageSize: test.size},
			}
			if diff := cmp.Diff(want, vm.Status.Placement); diff != "" {
				t.Errorf("placement (-want +got):\n%s", diff)
			}
			if n := statusWrites(t, ns, "vm"); n != 1 {
				t.Errorf("binding took %d writes of the status, want 1", n)
			}
		})
	}
}

// Four hosts are filled to the last CPU, page and device, by VMs that come all
// at once.
func TestCellsAreFilledExactly(t *testing.T) {
	full := shape{cells: 2, cpus: 20, threads: 2, memory: 64 * gib, pages1Gi: 20, devices: functions("vf", 2, 5)}
	const many = 40
	fill := func(t *testing.T, ns string) {
		t.Helper()
		var creating sync.WaitGroup
		for i := range many {
			vm := newVM(ns, fmt.Sprintf("vm-%d", i), 4, 4, numaPolicy(v1alpha1.NUMASingleCell), dedicated, hugepages(v1alpha1.PageSize1Gi), devices("vf", 1))
			creating.Go(func() {
				if err := suite.client.Create(t.Context(), vm); err != nil {
					t.Error(err)
				}
			})
		}
		creating.Wait()
	}
	check := func(t *testing.T, ns string, names []string, k *keepers) {
		t.Helper()
		vms := waitRunning(t, ns, many)
		fitTogether(t, names, vms)
		if refused := k.refusals(); len(refused) > 0 {
			t.Errorf("refused: %v", refused)
		}
		for i := range vms {
			if vms[i].Status.Epoch != 0 {
				t.Errorf("VM %s was bound more than once: %+v", vms[i].Name, vms[i].Status)
			}
		}
		create(t, newVM(ns, "too-many", 1, 1, numaPolicy(v1alpha1.NUMASingleCell), dedicated))
		waitVM(t, ns, "too-many", waiting("Unschedulable", "4 hosts: need 1 dedicated CPU, largest free is 0"))
	}

	t.Run("undisturbed", func(t *testing.T) {
		startScheduler(t, schedulerOptions{})
		ns := emptied(t)
		names := described(t, ns, 4, full)
		k := keep(t, names...)
		fill(t, ns)
		check(t, ns, names, k)
	})
	t.Run("vm-scheduler is killed while it binds", func(t *testing.T) {
		api, s := behindFaultyAPI(t)
		ns := emptied(t)
		names := described(t, ns, 4, full)
		k := keep(t, names...)
		killing := make(chan struct{})
		var writes atomic.Int32
		api.interceptStatus(func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
			n := writes.Add(1)
			if !strings.Contains(r.URL.Path, "/"+ns+"/") || n <= many/3 {
				return forward()
			}
			if n%2 == 0 {
				// This one is stored, and the scheduler never learns of it.
				if resp, err := forward(); err == nil {
					_ = resp.Body.Close()
				}
			}
			if n == many/2 {
				close(killing)
			}
			<-r.Context().Done()
			return nil, errors.New("the answer is lost")
		})
		fill(t, ns)
		select {
		case <-killing:
		case <-time.After(eventually):
			t.Fatalf("only %d writes were tried", writes.Load())
		}
		s.kill()
		startScheduler(t, schedulerOptions{})
		check(t, ns, names, k)
	})
}
