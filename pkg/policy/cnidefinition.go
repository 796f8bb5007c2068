package policy

import (
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// CheckCNIDefinition checks what a NetworkAttachmentDefinition of the name says in a
// namespace of the level. A configuration of its own says which programs run as root
// on a host and with what, so whoever writes it is root there. vm-scheduler checks it
// when it reads the object, and a host again, since the level may have changed.
func CheckCNIDefinition(d *v1alpha1.CNIDefinition, name string, level v1alpha1.PolicyLevel) error {
	if d == nil || d.Config == "" || level == v1alpha1.PolicyPrivileged {
		return nil
	}
	return fmt.Errorf("NetworkAttachmentDefinition %s: spec.config is not allowed%s: its plugins run as root on the hosts; name a configuration of theirs in spec.cni.configName, %s", name, atRestricted, remedy)
}
