package podless

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// namePrefix marks a projected Pod's name. A colon cannot occur in the name of
// a real Pod, so the two never collide.
const namePrefix = "vm:"

// Identity is what a projected Pod stands for: a VirtualMachine in an epoch.
type Identity = v1alpha1.Owner

// PodName is the name of the projected Pod of VM name in epoch. A new epoch is
// a new Pod to the scheduler, which ends the process when one Pod changes nodes.
func PodName(name string, epoch int64) string {
	return namePrefix + name + "." + strconv.FormatInt(epoch, 10)
}

// PodUID is the UID of the projected Pod of the VM with this UID in epoch.
func PodUID(uid types.UID, epoch int64) types.UID {
	return types.UID(string(uid) + "." + strconv.FormatInt(epoch, 10))
}

// IsProjected says whether a Pod of this name is a projected VM.
func IsProjected(podName string) bool { return strings.HasPrefix(podName, namePrefix) }

// ParsePod reads the identity out of a projected Pod's namespace, name and UID.
// It returns false for anything that PodName and PodUID did not make.
func ParsePod(namespace, name string, uid types.UID) (Identity, bool) {
	rest, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return Identity{}, false
	}
	vm, epoch, ok := cutEpoch(rest)
	if !ok {
		return Identity{}, false
	}
	vmUID, uidEpoch, ok := cutEpoch(string(uid))
	if !ok || uidEpoch != epoch {
		return Identity{}, false
	}
	return Identity{Namespace: namespace, Name: vm, UID: types.UID(vmUID), Epoch: epoch}, true
}

// VMName is the name of the VM that a projected Pod's name stands for, and any
// other name as it is.
func VMName(podName string) string {
	if rest, ok := strings.CutPrefix(podName, namePrefix); ok {
		rest, _ = cutGrowth(rest)
		if vm, _, ok := cutEpoch(rest); ok {
			return vm
		}
	}
	return podName
}

// growthMark parts, in the name and the UID of the projected Pod for a VM's growth,
// the epoch and the generation of the spec that asks for it. A spec that asks for
// something else is another Pod.
const growthMark = "+"

// GrowthPodName is the name of the projected Pod by which VM name is to grow in
// epoch to what its spec of that generation asks for.
func GrowthPodName(name string, epoch, generation int64) string {
	return PodName(name, epoch) + growthMark + strconv.FormatInt(generation, 10)
}

// GrowthPodUID is that Pod's UID, of the VM with this UID.
func GrowthPodUID(uid types.UID, epoch, generation int64) types.UID {
	return types.UID(string(PodUID(uid, epoch)) + growthMark + strconv.FormatInt(generation, 10))
}

// IsGrowth says whether a Pod of this name is what a VM is to have more, and not
// a VM.
func IsGrowth(podName string) bool {
	_, growth := cutGrowth(podName)
	return IsProjected(podName) && growth
}

// ParseGrowth reads the identity of the VM that is to grow out of a projected
// Pod's namespace, name and UID, and the generation of the spec that asks for it.
// It returns false for anything that GrowthPodName and GrowthPodUID did not make.
func ParseGrowth(namespace, name string, uid types.UID) (vm Identity, generation int64, ok bool) {
	pod, is := cutGrowth(name)
	podUID, same := cutGrowth(string(uid))
	if !is || !same || name[len(pod):] != string(uid)[len(podUID):] {
		return Identity{}, 0, false
	}
	generation, err := strconv.ParseInt(name[len(pod)+len(growthMark):], 10, 64)
	if err != nil || generation < 0 {
		return Identity{}, 0, false
	}
	vm, ok = ParsePod(namespace, pod, types.UID(podUID))
	return vm, generation, ok
}

// cutGrowth returns what stands before the mark of a growth, and all where there
// is none. No name of a VM has the mark in it.
func cutGrowth(s string) (string, bool) {
	before, _, growth := strings.Cut(s, growthMark)
	return before, growth
}

func cutEpoch(s string) (string, int64, bool) {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 {
		return "", 0, false
	}
	epoch, err := strconv.ParseInt(s[i+1:], 10, 64)
	return s[:i], epoch, err == nil && epoch >= 0
}
