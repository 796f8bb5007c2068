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
		if vm, _, ok := cutEpoch(rest); ok {
			return vm
		}
	}
	return podName
}

func cutEpoch(s string) (string, int64, bool) {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 {
		return "", 0, false
	}
	epoch, err := strconv.ParseInt(s[i+1:], 10, 64)
	return s[:i], epoch, err == nil && epoch >= 0
}
