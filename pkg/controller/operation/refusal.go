package operation

import (
	"fmt"
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// needs are the states of a guest in which something can be done to it. Restart
// is in none of them: it works on a guest that has ended too.
var needs = map[v1alpha1.OperationType][]v1alpha1.HostState{
	v1alpha1.OperationReset: {v1alpha1.HostRunning, v1alpha1.HostPaused},
	// A guest that crashed and is kept counts as failed.
	v1alpha1.OperationForceStop:    {v1alpha1.HostRunning, v1alpha1.HostPaused, v1alpha1.HostStopping, v1alpha1.HostFailed},
	v1alpha1.OperationSendKey:      {v1alpha1.HostRunning},
	v1alpha1.OperationScreenshot:   {v1alpha1.HostRunning, v1alpha1.HostPaused, v1alpha1.HostStopping},
	v1alpha1.OperationSetPassword:  {v1alpha1.HostRunning},
	v1alpha1.OperationInjectSSHKey: {v1alpha1.HostRunning},
	v1alpha1.OperationMeasure:      {v1alpha1.HostRunning, v1alpha1.HostPaused, v1alpha1.HostStopping},
}

// remedies are what to do about a guest in another state.
var remedies = map[v1alpha1.HostState]string{
	v1alpha1.HostPaused:    "set spec.powerState to Running, or see status.host.message for what it stands still for",
	v1alpha1.HostStopping:  "wait until it has stopped and start it again",
	v1alpha1.HostStopped:   "set spec.powerState to Running to start it",
	v1alpha1.HostSuspended: "set spec.powerState to Running to have it go on",
	v1alpha1.HostEnded:     "an operation of type Restart starts it",
	v1alpha1.HostFailed:    "see status.host.message for why",
}

// ranOnce is what to do about a VM whose guest is never started again.
const ranOnce = "it has run, and spec.runPolicy is Once: create another one, or change its runPolicy"

// refusal says why the operation cannot be done to the VM as it is, and what to
// do about it; "" when it can.
func refusal(t v1alpha1.OperationType, vm *v1alpha1.VirtualMachine) string {
	p, host := vm.Status.Placement, vm.Status.Host
	if p == nil {
		remedy := "wait until it has one; kubectl describe vm -n " + vm.Namespace + " " + vm.Name + " says what it waits for"
		switch hold := vm.Status.Hold; {
		case hold != nil && hold.Generation >= vm.Generation:
			remedy = "no host can run it as it is: change its spec: " + hold.Message
		case vm.RanOnce():
			remedy = ranOnce
		case vm.Spec.PowerState == v1alpha1.PowerStopped:
			remedy = "set spec.powerState to Running to start it"
		}
		return fmt.Sprintf("VirtualMachine %s is %s and has no host: %s", vm.Name, vm.Status.Phase, remedy)
	}
	if host == nil || host.Epoch != vm.Status.Epoch {
		return fmt.Sprintf("VirtualMachine %s is %s: its host %s has not said yet that the guest runs: wait until its phase is Running", vm.Name, vm.Status.Phase, p.NodeName)
	}
	leaving := ""
	switch {
	case host.State == v1alpha1.HostRejected || host.State == v1alpha1.HostGone:
		return fmt.Sprintf("VirtualMachine %s is %s on %s: wait until it has a host again", vm.Name, host.State, p.NodeName)
	case vm.DeletionTimestamp != nil:
		leaving = "is being deleted"
	case vm.Status.Eviction != nil:
		leaving = "is being evicted from " + p.NodeName + ": wait until it has a host again"
	}
	if leaving != "" && t != v1alpha1.OperationForceStop && t != v1alpha1.OperationScreenshot && t != v1alpha1.OperationMeasure {
		return "VirtualMachine " + vm.Name + " " + leaving
	}
	if t == v1alpha1.OperationRestart {
		return restartRefusal(vm)
	}
	if t == v1alpha1.OperationRestore {
		return "" // whether it may be, the host finds out with the snapshot
	}
	if states := needs[t]; !slices.Contains(states, host.State) {
		remedy := remedies[host.State]
		if vm.RanOnce() && (host.State == v1alpha1.HostStopped || host.State == v1alpha1.HostEnded) {
			remedy = ranOnce
		}
		return fmt.Sprintf("%s needs a guest that is %s, and that of VirtualMachine %s is %s: %s", t, words(states), vm.Name, host.State, remedy)
	}
	return ""
}

// restartRefusal says why a guest cannot be restarted.
func restartRefusal(vm *v1alpha1.VirtualMachine) string {
	switch {
	case vm.Spec.PowerState != v1alpha1.PowerRunning && vm.Spec.PowerState != "":
		return fmt.Sprintf("spec.powerState of VirtualMachine %s is %s: set it to Running instead, which starts the guest", vm.Name, vm.Spec.PowerState)
	case vm.Spec.RunPolicy == v1alpha1.RunOnce:
		return fmt.Sprintf("spec.runPolicy of VirtualMachine %s is Once: its guest is never started a second time", vm.Name)
	}
	return ""
}

func words(states []v1alpha1.HostState) string {
	var out []string
	for _, s := range states {
		out = append(out, string(s))
	}
	if len(out) == 1 {
		return out[0]
	}
	return strings.Join(out[:len(out)-1], ", ") + " or " + out[len(out)-1]
}
