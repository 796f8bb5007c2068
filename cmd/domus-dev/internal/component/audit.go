package component

// AuditPolicyFile is the name of the API server's audit policy.
const AuditPolicyFile = "audit-policy.yaml"

// AuditPolicy records every write and its outcome, without the documents. It
// leaves out reads, and the Leases that executors renew every few seconds:
// they would fill the log. Of a VM's status the patch itself is kept, since it
// alone tells which write made the VM Running.
const AuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  verbs: [update, patch]
  resources:
  - group: coordination.k8s.io
    resources: [leases]
- level: Request
  verbs: [update, patch]
  resources:
  - group: domus.dev
    resources: [virtualmachines/status]
- level: Metadata
`
