package executor

// Keys of structured log lines.
const (
	keyNode     = "node"
	keyVM       = "virtualMachine"
	keyDomain   = "domain"
	keyUUID     = "uuid"
	keyReason   = "reason"
	keyStep     = "step"
	keyError    = "err"
	keyCluster  = "clusterID"
	keyLibvirt  = "libvirtURI"
	keyEvent    = "event"
	keyQueueing = "retryIn"
	keyCount    = "count"
)
