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

// missing says whether a program asked for what it has no right to. A host is granted
// a VM's Secret a moment after the VM, and may ask before.
func (e *audited) missing() bool {
	program := strings.HasPrefix(e.UserAgent, "vm-scheduler/") || strings.HasPrefix(e.UserAgent, "vm-executor/")
	return program && e.Annotations["authorization.k8s.io/decision"] == "forbid" && e.ObjectRef.Resource != "secrets"
}

// requests are those that reached the API server until now, refused ones included,
// of which keep is true.
func (p *controlPlane) requests(keep func(*audited) bool) ([]audited, error) {
	data, err := os.ReadFile(p.auditLog)
	if err != nil {
		return nil, err
	}
	var all []audited
	for line := range bytes.Lines(data) {
		var e audited
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is just being written
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		if keep(&e) {
			all = append(all, e)
		}
	}
	return all, nil
}

// writes is keep for requests.
func writes(e *audited) bool { return !slices.Contains([]string{"get", "list", "watch"}, e.Verb) }

// writesIn are the writes in a namespace until now, refused ones included.
func writesIn(t *testing.T, ns string) []audited {
	t.Helper()
	all, err := suite.plane.requests(func(e *audited) bool { return writes(e) && e.ObjectRef.Namespace == ns })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkAudit fails when anyone wrote a Pod but the tests' own Pod writer, and
// kube-scheduler where it was lent a namespace; and when a program lacked a right.
func (p *controlPlane) checkAudit() error {
	all, err := p.requests(func(e *audited) bool { return writes(e) || e.missing() })
	if err != nil {
		return err
	}
	bound := 0
	for _, e := range all {
		ref := e.ObjectRef
		switch {
		case e.missing():
			return fmt.Errorf("a right is missing in manifests/base/rbac: %+v", e)
		case ref.Resource != "pods" || ref.APIGroup != "" || e.User.Username == podWriterUser:
		case e.User.Username == kubeSchedulerUser && p.lent[ref.Namespace] && podWrites[e.Verb+" pods/"+ref.Subresource]:
			bound++
		default:
			return fmt.Errorf("a write on pods reached the API server: %+v", e)
		}
	}
	if len(all) == 0 {
		return errors.New("the audit log is empty: nothing was checked")
	}
	fmt.Printf("audit log: %d writes, none on pods but the tests' own and %d by kube-scheduler; no right was missing\n", len(all), bound)
	return nil
}

// statusWrites counts the requests to write a VM's status that reached the API
// server, refused ones included.
func statusWrites(t *testing.T, ns, name string) int {
	t.Helper()
	n := 0
	for _, e := range writesIn(t, ns) {
		if ref := e.ObjectRef; ref.Resource == "virtualmachines" && ref.Subresource == "status" && ref.Name == name {
			n++
		}
	}
	return n
}
