package executor

import "domus.dev/domus/pkg/executor/service"

// hostsWatched are the hosts as systemd is told of them.
type hostsWatched []*hostRun

var _ service.Watched = hostsWatched{}

// Pending implements service.Watched: the service has started when each host has been
// reported with what it has.
func (hosts hostsWatched) Pending() string {
	for _, h := range hosts {
		switch {
		case h.agent.Reported():
		case h.claim != nil && h.claim.waitsFor() != "":
			return "Host " + h.agent.config.NodeName + ": " + h.claim.waitsFor()
		case !h.agent.Ready():
			return "Host " + h.agent.config.NodeName + ": the cluster or libvirt has not been reached"
		default:
			return "Host " + h.agent.config.NodeName + ": what it has is being found out and reported"
		}
	}
	return ""
}

// Alive implements service.Watched: whoever holds an agent's lock lets go of it. That
// the cluster or libvirt is away is no reason to be killed.
func (hosts hostsWatched) Alive() {
	for _, h := range hosts {
		h.agent.Ready()
	}
}

// Reported says whether what the host has was reported since this process began.
func (a *Agent) Reported() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reported
}

func (a *Agent) hasReported() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reported = true
}
