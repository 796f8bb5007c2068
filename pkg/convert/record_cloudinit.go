package convert

import (
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// cloudInitFields are, for the record, what a seed is made of.
func cloudInitFields(c *v1alpha1.CloudInit) map[string]string {
	if c == nil {
		return nil
	}
	source := func(s *v1alpha1.CloudInitSource) string {
		if s == nil {
			return ""
		}
		return s.SecretRef.Name + "/" + s.SecretRef.Key
	}
	var keys []string
	for i := range c.SSHAuthorizedKeysFrom {
		keys = append(keys, source(&c.SSHAuthorizedKeysFrom[i]))
	}
	out := map[string]string{
		"bus": string(c.Bus), "instanceID": c.InstanceID, "hostname": c.Hostname,
		"userData": c.UserData, "userDataFrom": source(c.UserDataFrom),
		"networkData": c.NetworkData, "networkDataFrom": source(c.NetworkDataFrom),
		"sshAuthorizedKeys": strings.Join(c.SSHAuthorizedKeys, "\n"), "sshAuthorizedKeysFrom": strings.Join(keys, "\n"),
	}
	for name, value := range out {
		if value == "" {
			delete(out, name)
		}
	}
	if len(out) == 0 {
		out[""] = "" // one that is there, with nothing in it
	}
	return out
}
