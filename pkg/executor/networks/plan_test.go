package networks

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

var planNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func virtualNetwork(changes ...func(*v1alpha1.VirtualNetwork)) *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "lan", UID: "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa", Finalizers: []string{v1alpha1.NetworkFinalizer},
	}}
	n.Spec.Type = v1alpha1.NetworkNAT
	n.Spec.Subnets = []v1alpha1.NetworkSubnet{{Address: "192.168.77.1/24", DHCP: &v1alpha1.NetworkDHCP{
		Ranges: []v1alpha1.AddressRange{{Start: "192.168.77.10", End: "192.168.77.99"}},
	}}}
	for _, f := range changes {
		f(n)
	}
	return n
}

func deleted(n *v1alpha1.VirtualNetwork) { at := metav1.NewTime(planNow); n.DeletionTimestamp = &at }
func unheld(n *v1alpha1.VirtualNetwork)  { n.Finalizers = nil }

// found is the network as the host has it.
func found(active bool, live, defined string, hosts ...DHCPHost) *Found {
	return &Found{Network: libvirt.Network{Name: "shop.lan.vn-0b1c2d3e4f50", Active: active}, Mark: Mark{Print: live}, Defined: defined, Hosts: hosts}
}

func TestPlan(t *testing.T) {
	bound, guest := User{VM: "VirtualMachine web"}, User{VM: "VirtualMachine db", Guest: true}
	host := DHCPHost{Element: "<host></host>"}
	want := &Definition{Mark: Mark{Print: "new"}, Hosts: []DHCPHost{host}}
	aim := (&Situation{Network: virtualNetwork(), Users: []User{bound}, Want: want}).aim()
	failed := Memory{Aim: aim, Failures: 1, RetryAt: planNow.Add(time.Second), Message: "it failed", Unfit: true}
	for name, test := range map[string]struct {
		in   Situation
		want Decision
	}{
		"nobody needs it":                     {Situation{Network: virtualNetwork(), Want: want}, Decision{}},
		"nobody needs it any more":            {Situation{Network: virtualNetwork(), Found: found(true, "new", "new"), Want: want}, Decision{Steps: []Step{StepStop, StepUndefine}, Again: true}},
		"a VM needs it":                       {Situation{Network: virtualNetwork(), Users: []User{bound}, Want: want}, Decision{Steps: []Step{StepDefine, StepStart}, Again: true}},
		"it is defined and not active":        {Situation{Network: virtualNetwork(), Found: found(false, "new", "new", host), Users: []User{bound}, Want: want}, Decision{Steps: []Step{StepStart}, Again: true}},
		"it is as it shall be":                {Situation{Network: virtualNetwork(), Found: found(true, "new", "new", host), Users: []User{guest}, Want: want}, Decision{Active: true}},
		"it has an earlier definition":        {Situation{Network: virtualNetwork(), Found: found(true, "old", "old"), Users: []User{guest}, Want: want}, Decision{Active: true, Steps: []Step{StepDefine}, Again: true}},
		"it is to change and has no guest":    {Situation{Network: virtualNetwork(), Found: found(true, "old", "new"), Users: []User{bound}, Want: want}, Decision{Active: true, Steps: []Step{StepStop, StepStart}, Again: true}},
		"it is to change and has a guest":     {Situation{Network: virtualNetwork(), Found: found(true, "old", "new"), Users: []User{bound, guest}, Want: want}, Decision{Active: true, RequeueAfter: lookAgain, Message: "it has an earlier spec: it is changed when no guest has a card on it; VirtualMachine db has one"}},
		"other cards get the same address":    {Situation{Network: virtualNetwork(), Found: found(true, "new", "new"), Users: []User{guest}, Want: want}, Decision{Active: true, Steps: []Step{StepSetHosts}, Again: true}},
		"nothing is made before it is held":   {Situation{Network: virtualNetwork(unheld), Users: []User{bound}, Want: want}, Decision{RequeueAfter: lookAgain, Message: "vm-scheduler has not taken it up yet: see whether that runs"}},
		"the policy refuses it":               {Situation{Network: virtualNetwork(), Users: []User{bound}, Want: want, Refused: "spec.type: no"}, Decision{RequeueAfter: lookAgain, Message: "spec.type: no"}},
		"the host lacks its bridge":           {Situation{Network: virtualNetwork(), Users: []User{bound}, Want: want, Lacks: "host a has no bridge"}, Decision{RequeueAfter: lookAgain, Message: "host a has no bridge", Unfit: true}},
		"a step failed and is not due":        {Situation{Network: virtualNetwork(), Users: []User{bound}, Want: want, Memory: failed}, Decision{RequeueAfter: time.Second, Message: "it failed", Unfit: true}},
		"a failure of one that guests have":   {Situation{Network: virtualNetwork(), Found: found(true, "new", "old"), Users: []User{guest}, Want: want, Memory: failed}, Decision{Active: true, RequeueAfter: time.Second, Message: "it failed"}},
		"its spec was edited since it failed": {Situation{Network: virtualNetwork(), Users: []User{bound}, Want: &Definition{Mark: Mark{Print: "newer"}}, Memory: failed}, Decision{Steps: []Step{StepDefine, StepStart}, Again: true}},
		"other cards since they failed":       {Situation{Network: virtualNetwork(), Found: found(true, "new", "new", host), Users: []User{guest}, Want: &Definition{Mark: Mark{Print: "new"}}, Memory: failed}, Decision{Active: true, Steps: []Step{StepSetHosts}, Again: true}},
		"nobody needs it since it failed":     {Situation{Network: virtualNetwork(), Found: found(false, "", "new"), Want: want, Memory: failed}, Decision{Steps: []Step{StepStop, StepUndefine}, Again: true}},
		"it is deleted since it failed":       {Situation{Network: virtualNetwork(deleted), Found: found(false, "", "new"), Users: []User{bound}, Want: want, Memory: failed}, Decision{Steps: []Step{StepStop, StepUndefine}, Again: true, Message: "the VirtualNetwork is being deleted: leave it out of spec.interfaces, or create another one when it is gone"}},
		"its removal failed":                  {Situation{Network: virtualNetwork(), Found: found(true, "new", "new"), Want: want, Memory: Memory{Aim: "removal", RetryAt: planNow.Add(time.Second), Message: "it failed"}}, Decision{Active: true, RequeueAfter: time.Second, Message: "it failed"}},
		"it is deleted":                       {Situation{Network: virtualNetwork(deleted), Found: found(true, "new", "new"), Users: []User{bound}, Want: want}, Decision{Steps: []Step{StepStop, StepUndefine}, Again: true, Message: "the VirtualNetwork is being deleted: leave it out of spec.interfaces, or create another one when it is gone"}},
		"it is deleted and was never made":    {Situation{Network: virtualNetwork(deleted), Users: []User{bound}, Want: want}, Decision{Message: "the VirtualNetwork is being deleted: leave it out of spec.interfaces, or create another one when it is gone"}},
		"it is deleted and has a guest":       {Situation{Network: virtualNetwork(deleted), Found: found(true, "new", "new"), Users: []User{guest}, Want: want}, Decision{Active: true, RequeueAfter: lookAgain, Message: "it is being deleted; it is kept until VirtualMachine db has no card on it"}},
		"its object is gone":                  {Situation{Found: found(true, "new", "new"), Users: []User{bound}}, Decision{Steps: []Step{StepStop, StepUndefine}, Again: true}},
		"its object is gone, and not a guest": {Situation{Found: found(true, "new", "new"), Users: []User{guest}}, Decision{Active: true, RequeueAfter: lookAgain, Message: "its VirtualNetwork is gone; it is kept until VirtualMachine db has no card on it"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.Now = planNow
			if diff := cmp.Diff(test.want, Plan(test.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
