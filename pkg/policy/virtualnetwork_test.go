package policy

import (
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestSubnetsOfUsersNetworks(t *testing.T) {
	for address, allowed := range map[string]bool{
		"192.168.122.1/24": true, "10.1.2.3/8": true, "172.31.0.1/16": true, "100.64.0.1/24": true, "fd00:db8::1/64": true,
		"203.0.113.1/24": false, "127.0.0.1/8": false, "169.254.169.1/24": false, "0.0.0.0/0": false, "224.0.0.1/4": false,
		"10.0.0.1/7": false, "172.16.0.1/11": false, "172.32.0.1/16": false, "192.168.0.1/15": false,
		"2001:db8::1/64": false, "fe80::1/64": false, "::1/128": false, "::ffff:10.0.0.1/104": false, "nothing": false,
	} {
		n := &v1alpha1.VirtualNetwork{}
		n.Spec.Type, n.Spec.Subnets = v1alpha1.NetworkNAT, []v1alpha1.NetworkSubnet{{Address: "192.168.1.1/24"}, {Address: address}}
		errs := CheckVirtualNetwork(n, v1alpha1.PolicyRestricted)
		if (len(errs) == 0) != allowed {
			t.Errorf("%s: %v", address, errs)
		}
		for _, err := range errs {
			if err.Field != "spec.subnets[1].address" {
				t.Errorf("%s: the error is about %s", address, err.Field)
			}
		}
		if errs := CheckVirtualNetwork(n, v1alpha1.PolicyPrivileged); len(errs) > 0 {
			t.Errorf("%s, privileged: %v", address, errs)
		}
	}
}
