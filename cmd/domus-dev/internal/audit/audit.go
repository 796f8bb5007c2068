// Package audit counts what an API server's audit log says was written. It is
// pure: it reads lines and makes a report.
package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// maxLineBytes bounds one event: the API server truncates none by default, and
// a status patch is far smaller than the largest VirtualMachine.
const maxLineBytes = 16 * v1alpha1.MaxDocumentBytes

// writeVerbs are the verbs that change something.
var writeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}

// Report is what a log says.
type Report struct {
	// Writes counts every write in the log, whatever its object.
	Writes int `json:"writes"`
	// PodWrites are writes to pods or their subresources, refused ones too.
	PodWrites []PodWrite `json:"podWrites"`
	// EventWrites counts writes of Events.
	EventWrites int `json:"eventWrites"`
	// VMs are the VirtualMachines whose creation the log holds, by creation.
	VMs []VM `json:"vms"`
	// MaxWrites and MeanWrites are over the VMs that became Running.
	MaxWrites  int     `json:"maxWrites"`
	MeanWrites float64 `json:"meanWrites"`
	// Running counts those VMs.
	Running int `json:"running"`
}

// PodWrite is a request that should not exist.
type PodWrite struct {
	Time     time.Time `json:"time"`
	User     string    `json:"user"`
	Verb     string    `json:"verb"`
	Resource string    `json:"resource"`
	Pod      string    `json:"pod"`
	Code     int32     `json:"code"`
}

// VM is one VirtualMachine from its creation to the write that made it Running.
type VM struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	// RunningAt is the first status write that said Running; zero until then.
	RunningAt time.Time `json:"runningAt,omitzero"`
	// Announced says that a write told beforehand that the guest is about to be
	// started, as for a VM whose runPolicy is not Always.
	Announced bool `json:"announced,omitempty"`
	// Waits are the writes that said why it has no host yet.
	Waits int `json:"waits,omitempty"`
	// Asked are the writes by which whoever created it asked for something else,
	// such as another power state.
	Asked int `json:"asked,omitempty"`
	// Writes are those that succeeded, the creation included.
	Writes []Count `json:"writes"`
	// Total is their sum.
	Total int `json:"total"`
	// Refused counts writes that the API server did not take, such as conflicts.
	Refused int `json:"refused"`
}

// Count is how often one user made one kind of write.
type Count struct {
	User     string `json:"user"`
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	Number   int    `json:"number"`
}

// Read makes a report of logs, in the order in which they were written. A last
// line that is cut off is passed over: the API server may be writing it.
func Read(logs ...io.Reader) (*Report, error) {
	c := &counter{report: &Report{PodWrites: []PodWrite{}, VMs: []VM{}}, open: map[types.NamespacedName]*VM{}}
	for _, log := range logs {
		if err := c.read(log); err != nil {
			return nil, err
		}
	}
	return c.finish(), nil
}

type counter struct {
	report *Report
	// open is each name's latest VM; done are those that a namesake followed.
	open map[types.NamespacedName]*VM
	done []*VM
}

func (c *counter) read(log io.Reader) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	var broken error
	for lines.Scan() {
		if broken != nil {
			return broken
		}
		if len(lines.Bytes()) == 0 {
			continue
		}
		event := &auditv1.Event{}
		if err := json.Unmarshal(lines.Bytes(), event); err != nil {
			broken = fmt.Errorf("reading an audit event: %w", err)
			continue
		}
		c.count(event)
	}
	return lines.Err()
}

func (c *counter) count(event *auditv1.Event) {
	ref := event.ObjectRef
	// Each request has one event in its last stage, Panic in place of ResponseComplete.
	last := event.Stage == auditv1.StageResponseComplete || event.Stage == auditv1.StagePanic
	if ref == nil || !last || !slices.Contains(writeVerbs, event.Verb) || strings.Contains(event.RequestURI, "dryRun=All") {
		return
	}
	c.report.Writes++
	switch {
	case ref.APIGroup == "" && ref.Resource == "pods":
		c.report.PodWrites = append(c.report.PodWrites, PodWrite{
			Time: event.RequestReceivedTimestamp.Time, User: event.User.Username, Verb: event.Verb,
			Resource: resource(ref), Pod: ref.Namespace + "/" + ref.Name, Code: code(event),
		})
	case ref.Resource == "events":
		c.report.EventWrites++
	case ref.APIGroup == v1alpha1.GroupVersion.Group && ref.Resource == "virtualmachines":
		c.countVM(event)
	}
}

func (c *counter) countVM(event *auditv1.Event) {
	ref, status := event.ObjectRef, code(event)
	key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	// A create, or a server-side apply of what was not there.
	if ref.Subresource == "" && status == 201 {
		if before := c.open[key]; before != nil {
			c.done = append(c.done, before)
		}
		c.open[key] = &VM{Namespace: ref.Namespace, Name: ref.Name, Created: event.RequestReceivedTimestamp.Time, Writes: []Count{}}
	} else if vm := c.open[key]; vm != nil && ref.Subresource == "" && status == 200 && len(vm.Writes) > 0 && event.User.Username == vm.Writes[0].User && vm.RunningAt.IsZero() {
		vm.Asked++
	}
	vm := c.open[key]
	if vm == nil || !vm.RunningAt.IsZero() {
		return
	}
	if status < 200 || status > 299 {
		vm.Refused++
		return
	}
	vm.add(event.User.Username, event.Verb, resource(ref))
	if ref.Subresource != "status" || event.RequestObject == nil {
		return
	}
	vm.Announced = vm.Announced || saysStarting(event.RequestObject.Raw)
	if saysWaiting(event.RequestObject.Raw) {
		vm.Waits++
	}
	if saysRunning(event.RequestObject.Raw) {
		vm.RunningAt = event.StageTimestamp.Time
	}
}

func (vm *VM) add(user, verb, resource string) {
	vm.Total++
	for i := range vm.Writes {
		if w := &vm.Writes[i]; w.User == user && w.Verb == verb && w.Resource == resource {
			w.Number++
			return
		}
	}
	vm.Writes = append(vm.Writes, Count{User: user, Verb: verb, Resource: resource, Number: 1})
}

func (c *counter) finish() *Report {
	r := c.report
	for _, vm := range c.open {
		c.done = append(c.done, vm)
	}
	sum := 0
	for _, vm := range c.done {
		r.VMs = append(r.VMs, *vm)
		if !vm.RunningAt.IsZero() {
			r.Running++
			sum += vm.Total
			r.MaxWrites = max(r.MaxWrites, vm.Total)
		}
	}
	if r.Running > 0 {
		r.MeanWrites = float64(sum) / float64(r.Running)
	}
	sort.Slice(r.VMs, func(i, j int) bool {
		a, b := r.VMs[i], r.VMs[j]
		if !a.Created.Equal(b.Created) {
			return a.Created.Before(b.Created)
		}
		return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
	})
	return r
}

func resource(ref *auditv1.ObjectReference) string {
	if ref.Subresource == "" {
		return ref.Resource
	}
	return ref.Resource + "/" + ref.Subresource
}

// code is the HTTP status of the answer; 0 when there was none.
func code(event *auditv1.Event) int32 {
	if event.ResponseStatus == nil {
		return 0
	}
	return event.ResponseStatus.Code
}
