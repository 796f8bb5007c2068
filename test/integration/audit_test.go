package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
)

// podWriterUser is the only user who may write Pods, besides kube-scheduler
// where a test runs it; everyone else's Pod writes fail the run.
const podWriterUser = "integration-pod-writer"

// kubeSchedulerUser is kube-scheduler's own; RBAC comes with the API server.
const kubeSchedulerUser = "system:kube-scheduler"

// podWrites are what kube-scheduler may write of Pods in a namespace that is
// lent to it.
var podWrites = map[string]bool{"create pods/binding": true, "patch pods/status": true}

// checkAudit fails when anyone wrote a Pod but the tests' own Pod writer, and
// kube-scheduler where it was lent a namespace.
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
		var event struct {
			Verb      string
			User      struct{ Username string }
			ObjectRef struct{ Resource, Subresource, APIGroup, Namespace, Name string }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
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
