package hostconfig

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReadConfigurationOf reads a configuration file that many hosts share, for the one
// called node: the file describes one host and leaves its name out, or says the
// same one.
func ReadConfigurationOf(path, node string) (*Configuration, error) {
	return readConfiguration(path, func(c *Configuration) field.ErrorList { return c.name(node) })
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
