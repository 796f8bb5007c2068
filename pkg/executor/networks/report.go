package networks

import (
	"cmp"
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// maxReported and maxMessage are the bounds in the API's schema.
	maxReported = 256
	maxMessage  = 512
)

// Report is what the host says of its interfaces and networks; false while that is
// not known.
func (k *Keeper) Report() (interfaces []v1alpha1.HostInterface, networks []v1alpha1.HostNetwork, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.looked {
		return nil, nil, false
	}
	for key, states := range k.states {
		for uid, s := range states {
			if !s.exists && s.message == "" {
				continue
			}
			networks = append(networks, v1alpha1.HostNetwork{
				Namespace: key.Namespace, Name: key.Name, UID: string(uid),
				Active: s.active, BridgeName: s.bridge, Message: strings.ToValidUTF8(s.message[:min(len(s.message), maxMessage)], ""),
			})
		}
	}
	slices.SortFunc(networks, func(a, b v1alpha1.HostNetwork) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return slices.Clone(k.host.Interfaces), networks[:min(len(networks), maxReported)], true
}
