package hostconfig

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReadConfigurationOf reads a configuration file that many hosts share, for the one
// called node: the file describes one host and leaves its name out, or says the
// same one. So it is with the address that others reach the host by, which is for
// transfers; it is left out when it is empty.
func ReadConfigurationOf(path, node, address string) (*Configuration, error) {
	return readConfiguration(path, func(c *Configuration) field.ErrorList {
		errs := c.name(node)
		if len(errs) == 0 && address != "" {
			errs = c.advertise(address)
		}
		return errs
	})
}

// name gives the only host its name.
func (c *Configuration) name(node string) field.ErrorList {
	hosts := field.NewPath("hosts")
	if len(c.Hosts) != 1 {
		return field.ErrorList{field.Invalid(hosts, len(c.Hosts), "--node-name "+node+" is for a file that describes one host: leave the flag out, or describe one host")}
	}
	if has := c.Hosts[0].NodeName; has != "" && has != node {
		return field.ErrorList{field.Invalid(hosts.Index(0).Child("nodeName"), has, "--node-name says "+node+": remove one of the two")}
	}
	c.Hosts[0].NodeName = node
	return nil
}

// advertise gives the only host its address, where it exchanges volumes.
func (c *Configuration) advertise(address string) field.ErrorList {
	t := c.Hosts[0].Transfer
	if t == nil {
		return nil
	}
	if has := t.AdvertiseAddress; has != "" && has != address {
		return field.ErrorList{field.Invalid(field.NewPath("hosts").Index(0).Child("transfer", "advertiseAddress"), has, "--advertise-address says "+address+": remove one of the two")}
	}
	t.AdvertiseAddress = address
	return nil
}
