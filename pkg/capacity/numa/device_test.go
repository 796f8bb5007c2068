package numa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// device is offered near a cell, or near none where that is negative.
func device(name, slot string, near int32) v1alpha1.HostDevice {
	d := v1alpha1.HostDevice{Name: name, Address: "0000:" + slot + ":00.0"}
	if near >= 0 {
		d.Cell = &near
	}
	return d
}

// gpus is a host of two cells of 4 CPUs and 8Gi: one gpu near the first cell,
// two near the second and one near none; the second has a nic too.
func gpus() *v1alpha1.HypervisorStatus {
	status := report("1", cell(0, "0-3", 8*gib), cell(1, "4-7", 8*gib))
	status.Devices = []v1alpha1.HostDevice{
		device("gpu", "c1", 1), device("gpu", "03", -1), device("gpu", "3b", 0), device("nic", "c2", 1), device("gpu", "c0", 1),
	}
	return status
}

func with(name string, count int32) func(*Request) {
	return func(r *Request) {
		r.Devices = append(r.Devices, v1alpha1.DeviceRequest{Name: name, Count: count})
	}
}

// given is a VM without cells that has the gpus in these slots.
func given(slots ...string) v1alpha1.Placement {
	p := placed(1, gib)
	for _, slot := range slots {
		p.Devices = append(p.Devices, v1alpha1.PlacedDevice{Name: "gpu", Address: "0000:" + slot + ":00.0"})
	}
	return p
}

func TestDevicesOfAHost(t *testing.T) {
	status := gpus()
	status.Devices = append(status.Devices, device("nic", "e0", 7))
	h, err := FromHypervisor(status)
	if err != nil {
		t.Fatal(err)
	}
	want := []Device{
		{Name: "gpu", Address: "0000:03:00.0", Cell: -1},
		{Name: "gpu", Address: "0000:3b:00.0", Cell: 0},
		{Name: "gpu", Address: "0000:c0:00.0", Cell: 1},
		{Name: "gpu", Address: "0000:c1:00.0", Cell: 1},
		{Name: "nic", Address: "0000:c2:00.0", Cell: 1},
		{Name: "nic", Address: "0000:e0:00.0", Cell: -1},
	}
	if diff := cmp.Diff(want, h.Devices, cmpopts.IgnoreUnexported(Device{})); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	status.Devices = append(status.Devices, device("other", "03", 0))
	if _, err := FromHypervisor(status); err == nil || !strings.Contains(err.Error(), "0000:03:00.0 is reported twice") {
		t.Errorf("error %v", err)
	}
}

func TestChooseDevices(t *testing.T) {
	noCells := &v1alpha1.HypervisorStatus{Allocatable: v1alpha1.HostCapacity{CPU: 4, Memory: 4 * gib}, Devices: []v1alpha1.HostDevice{device("gpu", "03", 0)}}
	type lies struct {
		Cells   []int32
		Devices []string
	}
	for name, test := range map[string]struct {
		host    *v1alpha1.HypervisorStatus
		placed  []v1alpha1.Placement
		request *Request
		want    lies
	}{
		"without a policy: the lowest addresses":               {gpus(), nil, request(1, gib, with("gpu", 3)), lies{nil, []string{"gpu 03", "gpu 3b", "gpu c0"}}},
		"no count is one":                                      {gpus(), nil, request(1, gib, with("gpu", 0)), lies{nil, []string{"gpu 03"}}},
		"what others have is passed over":                      {gpus(), []v1alpha1.Placement{given("03", "c0")}, request(1, gib, with("gpu", 2)), lies{nil, []string{"gpu 3b", "gpu c1"}}},
		"two names, by ascending address":                      {gpus(), nil, request(1, gib, with("nic", 1), with("gpu", 1)), lies{nil, []string{"gpu 03", "nic c2"}}},
		"a host without cells has devices":                     {noCells, nil, request(1, gib, with("gpu", 1)), lies{nil, []string{"gpu 03"}}},
		"dedicated without a policy: wherever they are":        {gpus(), nil, request(2, gib, dedicated, with("gpu", 2)), lies{[]int32{0}, []string{"gpu 03", "gpu 3b"}}},
		"near ones go before those near none":                  {gpus(), nil, request(1, gib, singleCell, with("gpu", 1)), lies{[]int32{0}, []string{"gpu 3b"}}},
		"near none will do":                                    {gpus(), nil, request(1, gib, singleCell, with("gpu", 2)), lies{[]int32{0}, []string{"gpu 03", "gpu 3b"}}},
		"a cell without enough is no candidate":                {gpus(), nil, request(1, gib, singleCell, with("gpu", 3)), lies{[]int32{1}, []string{"gpu 03", "gpu c0", "gpu c1"}}},
		"all names must be near the cell":                      {gpus(), nil, request(1, gib, singleCell, with("gpu", 1), with("nic", 1)), lies{[]int32{1}, []string{"gpu c0", "nic c2"}}},
		"restricted takes one cell more for its devices":       {gpus(), nil, request(2, gib, restricted, with("gpu", 4)), lies{[]int32{0, 1}, []string{"gpu 03", "gpu 3b", "gpu c0", "gpu c1"}}},
		"restricted takes the cell that has them":              {gpus(), []v1alpha1.Placement{given("03")}, request(2, gib, restricted, with("gpu", 2)), lies{[]int32{1}, []string{"gpu c0", "gpu c1"}}},
		"spread may have them near any of its cells":           {gpus(), nil, request(2, gib, spread, with("gpu", 2)), lies{[]int32{0, 1}, []string{"gpu 3b", "gpu c0"}}},
		"devices do not change the choice between equal cells": {gpus(), nil, request(1, gib, singleCell), lies{[]int32{0}, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, test.host, test.placed...)
			a, short := Choose(u, test.request)
			if short != nil {
				t.Fatalf("shortage: %s", short)
			}
			var got lies
			for _, c := range a.Cells {
				got.Cells = append(got.Cells, c.ID)
			}
			for _, d := range a.Devices {
				got.Devices = append(got.Devices, d.Name+" "+d.Address[5:7])
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("lies (-want +got):\n%s", diff)
			}
			p := test.request.Placement("a", a)
			if short := Admit(u, &p); short != nil {
				t.Errorf("is not admitted: %s", short)
			}
			before := u.Clone()
			if err := u.Add(&p); err != nil {
				t.Fatal(err)
			}
			if short := Admit(u, &p); len(p.Devices) > 0 && (short == nil || !strings.Contains(short.String(), "belong")) {
				t.Errorf("is admitted twice: %v", short)
			}
			if err := u.Remove(&p); err != nil || !u.Equal(before) {
				t.Errorf("removing does not undo adding: %v", err)
			}
		})
	}
}

func TestAdmitDevices(t *testing.T) {
	for name, test := range map[string]struct {
		before []v1alpha1.Placement
		placed v1alpha1.Placement
		want   string
	}{
		"what is free":                         {[]v1alpha1.Placement{given("03")}, given("3b", "c0"), ""},
		"a device that another VM has":         {[]v1alpha1.Placement{given("03")}, given("03", "3b"), "device 0000:03:00.0 belongs to another VM alone"},
		"devices that other VMs have":          {[]v1alpha1.Placement{given("03"), given("3b")}, given("03", "3b", "c0"), "device 0000:03:00.0, 0000:3b:00.0 belongs to another VM alone"},
		"a device that is gone":                {nil, given("04"), "the host offers no device 0000:04:00.0 as gpu: it has changed since the VM was placed"},
		"a device that is offered as another":  {nil, given("c2"), "the host offers no device 0000:c2:00.0 as gpu: it has changed since the VM was placed"},
		"a device that is gone takes nothing":  {[]v1alpha1.Placement{given("04")}, given("03"), ""},
		"CPUs are looked at before devices":    {nil, v1alpha1.Placement{Granted: placed(1, gib).Granted, Cells: []v1alpha1.PlacedCell{{ID: 9, CPU: 1}}, Devices: given("04").Devices}, "the host has no NUMA cell 9: it has changed since the VM was placed"},
		"where the device is does not matter":  {nil, v1alpha1.Placement{Granted: placed(1, gib).Granted, Cells: []v1alpha1.PlacedCell{{ID: 0, CPU: 1}}, Devices: given("c0").Devices}, ""},
		"memory that is short beside a device": {nil, v1alpha1.Placement{Granted: placed(1, 17*gib).Granted, Devices: given("c0").Devices}, "need 17Gi of memory, 16Gi free"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if short := Admit(usageOf(t, gpus(), test.before...), &test.placed); short != nil {
				got = short.String()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestADeviceGivenAwayTwiceIsFreeWhenBothVMsAreGone(t *testing.T) {
	one, two := given("03", "3b"), given("03")
	u := usageOf(t, gpus(), one, two)
	if !Fits(u, request(1, gib, with("gpu", 2))) {
		t.Error("it counts as two that are taken")
	}
	all := request(1, gib, with("gpu", 4))
	for _, p := range []*v1alpha1.Placement{&one, &two} {
		if Fits(u, all) {
			t.Error("a device that is given is free")
		}
		if err := u.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	if !Fits(u, all) {
		t.Error("a device that nobody has is not free")
	}
}
