package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// podWriterUser is the only user who may write Pods, besides kube-scheduler
// where a test runs it; everyone else's Pod writes fail the run.
const podWriterUser = "integration-pod-writer"

// kubeSchedulerUser is kube-scheduler's own; RBAC comes with the API server.
const kubeSchedulerUser = "system:kube-scheduler"

// auditPolicy records every write, and what Domus' programs read.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["domus:schedulers", "domus:executors"]
- level: None
  verbs: [get, list, watch]
- level: Metadata
`

// podWrites are what kube-scheduler may write of Pods in a namespace that is
// lent to it.
var podWrites = map[string]bool{"create pods/binding": true, "patch pods/status": true}

// audited is what is looked at of an audited request.
type audited struct {
	Verb        string
	UserAgent   string
	User        struct{ Username string }
	ObjectRef   struct{ Resource, Subresource, APIGroup, Namespace, Name string }
	Annotations map[string]string
}

func (e *audited) reads() bool { return slices.Contains([]string{"get", "list", "watch"}, e.Verb) }

// missing says whether a program asked for what it has no right to. A host is granted
// a VM's Secret a moment after the VM, and may ask before.
func (e *audited) missing() bool {
	program := strings.HasPrefix(e.UserAgent, "vm-scheduler/") || strings.HasPrefix(e.UserAgent, "vm-executor/")
	return program && e.Annotations["authorization.k8s.io/decision"] == "forbid" && e.ObjectRef.Resource != "secrets"
}

// checkAudit fails when anyone wrote a Pod but the tests' own Pod writer, and
// kube-scheduler where it was lent a namespace; and when a program lacked a right.
func (p *controlPlane) checkAudit() error {
	data, err := os.ReadFile(p.auditLog)
	if err != nil {
		return err
	}
	seen, bound := 0, 0
	for _, line := range bytes.Split(data, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var event audited
		if err := json.Unmarshal(line, &event); err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		if event.missing() {
			return fmt.Errorf("a right is missing in manifests/base/rbac: %s by %s: %s", event.Verb, event.User.Username, line)
		}
		if event.reads() {
			continue
		}
		seen++
		ref := event.ObjectRef
		switch {
		case ref.Resource != "pods" || ref.APIGroup != "" || event.User.Username == podWriterUser:
		case event.User.Username == kubeSchedulerUser && p.lent[ref.Namespace] && podWrites[event.Verb+" pods/"+ref.Subresource]:
			bound++
		default:
			return fmt.Errorf("a write on pods reached the API server: %s by %s: %s", event.Verb, event.User.Username, line)
		}
	}
	if seen == 0 {
		return errors.New("the audit log is empty: nothing was checked")
	}
	fmt.Printf("audit log: %d writes, none on pods but the tests' own and %d by kube-scheduler\n", seen, bound)
	return nil
}

// statusWrites counts the requests to write a VM's status that reached the API
// server, refused ones included.
func statusWrites(t *testing.T, ns, name string) int {
	t.Helper()
	data, err := os.ReadFile(suite.plane.auditLog)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range bytes.Split(data, []byte("\n")) {
		if bytes.Contains(line, fmt.Appendf(nil, "/namespaces/%s/virtualmachines/%s/status", ns, name)) {
			n++
		}
	}
	return n
}
