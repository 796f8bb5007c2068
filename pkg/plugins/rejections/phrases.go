package rejections

import "strings"

// NoHost begins what is said when, as hosts are now, none will ever take the VM:
// of the hosts that its own spec and their taints leave it.
const NoHost = "no host that it may use "

// lacks begins the reasons of hosts that have too little of something.
const lacks = "host(s) lack "

// phrases are what plugins say of hosts, in words that fit a VM: of several
// hosts, and of one. What is not here is said as the plugin says it.
var phrases = map[string][2]string{
	"node(s) didn't match Pod's node affinity/selector":                             {"do not match its nodeSelector or affinity, or refused it lately", "does not match its nodeSelector or affinity, or refused it lately"},
	"node(s) didn't satisfy plugin(s) [NodeAffinity]":                               {"do not match its nodeSelector or affinity, or refused it lately", "does not match its nodeSelector or affinity, or refused it lately"},
	"node(s) had untolerated taint(s)":                                              {"have a taint that it does not tolerate", "has a taint that it does not tolerate"},
	"node(s) were unschedulable":                                                    {"are cordoned", "is cordoned"},
	"node(s) didn't match pod topology spread constraints":                          {"would break its topologySpreadConstraints", "would break its topologySpreadConstraints"},
	"node(s) didn't match pod topology spread constraints (missing required label)": {"lack the label of its topologySpreadConstraints", "lacks the label of its topologySpreadConstraints"},
	"node(s) didn't match pod affinity rules":                                       {"do not match its affinity to other VMs", "does not match its affinity to other VMs"},
	"node(s) didn't match pod anti-affinity rules":                                  {"hold VMs that its anti-affinity excludes", "holds VMs that its anti-affinity excludes"},
	"node(s) didn't satisfy existing pods anti-affinity rules":                      {"hold VMs whose anti-affinity excludes it", "holds VMs whose anti-affinity excludes it"},
}

// singular are the verbs that begin what our own plugins say of hosts.
var singular = map[string]string{"have": "has", "run": "runs", "offer": "offers"}

// Reason says a plugin's reason of so many hosts to a person.
func Reason(reason string, hosts int) string {
	if said, ok := phrases[reason]; ok {
		return plural(hosts, said[1], said[0])
	}
	if taint, ok := strings.CutPrefix(reason, tainted); ok {
		return taintWords(taint, hosts)
	}
	if need, ok := strings.CutPrefix(reason, lacks); ok {
		return "need " + need
	}
	if own, ok := strings.CutPrefix(reason, "host(s) "); ok {
		if verb, rest, ok := strings.Cut(own, " "); ok && hosts == 1 && singular[verb] != "" {
			return singular[verb] + " " + rest
		}
		return own
	}
	return strings.TrimPrefix(reason, "node(s) ")
}
