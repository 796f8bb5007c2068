package describe

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
	"domus.dev/domus/pkg/virtctl/wait"
)

// latest is how many events are told.
const latest = 10

// printer writes sections; the first error is kept and ends it.
type printer struct {
	out   io.Writer
	paint output.Paint
	now   time.Time
	err   error
}

func (a *about) print(out io.Writer, paint output.Paint, now time.Time) error {
	p := &printer{out: out, paint: paint, now: now}
	p.head(a.vm)
	p.placement(a.vm)
	p.guest(a.vm)
	p.conditions(a.vm.Status.Conditions)
	p.operations(a)
	p.events(a)
	return p.err
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// section begins one.
func (p *printer) section(name string) {
	p.line("")
	p.line("%s", p.paint.Heading(name))
}

// field writes a field of the section; one without a value is left out.
func (p *printer) field(name, value string) {
	if value != "" {
		p.line("  %-15s %s", name+":", value)
	}
}

// table writes rows indented.
func (p *printer) table(header []string, rows [][]string) {
	if p.err != nil {
		return
	}
	header[0] = "  " + header[0]
	for i := range rows {
		rows[i][0] = "  " + rows[i][0]
	}
	p.err = output.Table(p.out, header, rows)
}

func (p *printer) ago(t metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return duration.HumanDuration(p.now.Sub(t.Time)) + " ago"
}

func (p *printer) head(vm *v1alpha1.VirtualMachine) {
	p.line("%s", p.paint.Heading("virtualmachine/"+vm.Name))
	p.field("Namespace", vm.Namespace)
	p.field("Created", p.ago(vm.CreationTimestamp))
	if vm.DeletionTimestamp != nil {
		p.field("Deleted", p.ago(*vm.DeletionTimestamp))
	}
	phase := p.paint.Phase(vm.Status.Phase)
	if away.Is(vm) {
		phase += ", as its host last said"
	}
	p.field("Phase", phase)
	if reason := wait.Reason(vm); reason != "" {
		p.field("Waits", p.paint.Warn(reason))
	}
	if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionRestartRequired); c != nil && c.Status == metav1.ConditionTrue {
		p.field("Restart", p.paint.Warn("needed for the spec as it is now: "+output.Safe(c.Message)))
	}
	if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionResizePending); c != nil && c.Status == metav1.ConditionTrue {
		p.field("Resize", p.paint.Warn("waits: "+output.Safe(c.Message)))
	}
}

func (p *printer) placement(vm *v1alpha1.VirtualMachine) {
	status := &vm.Status
	p.section("Placement")
	p.field("Scheduler", vm.Spec.SchedulerName)
	if vm.Spec.SchedulingGroup != nil {
		p.field("Group", vm.Spec.SchedulingGroup.PodGroupName)
	}
	if status.Placement == nil {
		p.field("Host", "none")
		p.field("Asks for", amounts(vm.Spec.Resources.CPU, vm.Spec.Resources.Memory.Value(), 0, pageSize(vm)))
	} else {
		host := status.Placement.NodeName
		if away.Is(vm) {
			host += p.paint.Warn(", which is away (said " + p.ago(away.Since(vm)) + ")")
		}
		p.field("Host", host)
		g := status.Placement.Granted
		p.field("Granted", amounts(g.CPU, g.Memory, g.Overhead, g.PageSize))
		p.field("May grow to", most(g))
		for _, cell := range status.Placement.Cells {
			p.field(fmt.Sprintf("Cell %d", cell.ID), placed(cell))
		}
		for _, d := range status.Placement.Devices {
			p.field("Device", device(d))
		}
	}
	p.field("Room is made on", status.NominatedNodeName)
	if status.Eviction != nil {
		p.field("Eviction", joined(status.Eviction.Reason, status.Eviction.Message, p.ago(status.Eviction.RequestedAt)))
	}
	if status.Hold != nil {
		p.field("Held", joined(status.Hold.Reason, status.Hold.Message))
	}
	for _, e := range status.ExcludedHosts {
		until := ""
		if left := e.Until.Sub(p.now); left > 0 {
			until = "for another " + duration.HumanDuration(left)
		}
		p.field("Refused by", joined(e.NodeName, e.Message, until))
	}
	p.field("Epoch", strconv.FormatInt(status.Epoch, 10))
}

func (p *printer) guest(vm *v1alpha1.VirtualMachine) {
	p.section("Guest")
	p.field("Asked to be", fmt.Sprintf("%s (runPolicy %s, whenStopped %s)", vm.Spec.PowerState, vm.Spec.RunPolicy, vm.Spec.WhenStopped))
	if host := vm.Status.Host; host != nil {
		said := joined(string(host.State), host.Reason, host.Message)
		switch {
		case host.Epoch != vm.Status.Epoch:
			said += " (of an earlier binding)"
		case away.Is(vm):
			said += " (before it was away)"
		}
		p.field("Host says", said)
		if host.StartedAt != nil && wait.HasGuest(vm) {
			p.field("Started", p.ago(*host.StartedAt))
		}
		p.field("Has", has(host))
		p.field("Domain", host.DomainName)
		p.field("UUID", host.DomainUUID)
	}
	p.field("Serves", p.serves(vm))
	for _, i := range vm.Status.Interfaces {
		p.field("Card", cardLine(i))
	}
	p.field("Agent", p.agent(vm))
	guest := vm.Status.Guest
	if guest == nil {
		return
	}
	p.field("Hostname", output.Safe(guest.Hostname))
	if os := guest.OS; os != nil {
		name := output.Safe(cmp.Or(os.Name, strings.TrimSpace(os.ID+" "+os.Version)))
		if os.Kernel != "" {
			name += ", kernel " + output.Safe(os.Kernel)
		}
		p.field("System", strings.TrimPrefix(name, ", "))
	}
	for _, i := range guest.Interfaces {
		p.field("Interface", output.Safe(strings.TrimSpace(fmt.Sprintf("%s %s %s", i.Name, i.MAC, strings.Join(i.Addresses, " ")))))
	}
}

// What follows from an agent that does not answer, and what to do about it.
const (
	withoutAgent = "without one the guest's addresses and system are not known, and passwords and SSH keys cannot be set"
	installAgent = "install and start qemu-guest-agent in the guest"
)

// agent says whether the guest's agent answers, and what follows where it does
// not.
func (p *printer) agent(vm *v1alpha1.VirtualMachine) string {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionAgentConnected)
	switch {
	case !wait.HasGuest(vm):
		return ""
	case c == nil:
		return "none can be heard: the domain has no channel for one; " + withoutAgent +
			": give spec.domain devices.channels one with target.virtIO.name org.qemu.guest_agent.0, restart the VM, and " + installAgent
	}
	since := duration.HumanDuration(p.now.Sub(c.LastTransitionTime.Time))
	switch c.Status {
	case metav1.ConditionTrue:
		return "answers, since " + since
	case metav1.ConditionFalse:
		return fmt.Sprintf("answers no more, since %s: what is told of the guest here is from before, and passwords and SSH keys cannot be set: %s", since, output.Safe(c.Message))
	}
	return fmt.Sprintf("none is installed, or none answers, since %s: %s: %s", since, withoutAgent, installAgent)
}

func (p *printer) conditions(all []metav1.Condition) {
	p.section("Conditions")
	if len(all) == 0 {
		p.line("  none")
		return
	}
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.Type, string(c.Status), c.Reason, duration.HumanDuration(p.now.Sub(c.LastTransitionTime.Time)), output.Safe(c.Message)})
	}
	p.table([]string{"TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"}, rows)
}

// operations tells those that are not over.
func (p *printer) operations(a *about) {
	p.section("Operations under way")
	switch {
	case failure.CodeOf(a.operationsErr) == failure.Denied:
		p.line("  not shown: operations hold screens and hashes of passwords, and reading them takes a right that the role view has not: get and list virtualmachineoperations")
		return
	case a.operationsErr != nil:
		p.line("  unknown: %v", a.operationsErr)
		return
	}
	var rows [][]string
	slices.SortStableFunc(a.operations, func(x, y v1alpha1.VirtualMachineOperation) int {
		return x.CreationTimestamp.Compare(y.CreationTimestamp.Time)
	})
	for i := range a.operations {
		op := &a.operations[i]
		if !op.Status.Finished() {
			rows = append(rows, []string{op.Name, string(op.Spec.Type), string(cmp.Or(op.Status.Phase, v1alpha1.OperationPending)),
				duration.HumanDuration(p.now.Sub(op.CreationTimestamp.Time)), operation.Waiting(op)})
		}
	}
	if len(rows) == 0 {
		p.line("  none")
		return
	}
	p.table([]string{"NAME", "TYPE", "PHASE", "AGE", "AT"}, rows)
}

func (p *printer) events(a *about) {
	p.section("Latest events")
	if a.eventsErr != nil {
		p.line("  unknown: %v", a.eventsErr)
		return
	}
	slices.SortStableFunc(a.events, func(x, y corev1.Event) int { return seen(x).Compare(seen(y)) })
	if extra := len(a.events) - latest; extra > 0 {
		a.events = a.events[extra:]
	}
	var rows [][]string
	for _, e := range a.events {
		from := cmp.Or(e.ReportingController, e.Source.Component)
		rows = append(rows, []string{duration.HumanDuration(p.now.Sub(seen(e))), e.Type, e.Reason, from, output.Safe(e.Message)})
	}
	if len(rows) == 0 {
		p.line("  none")
		return
	}
	p.table([]string{"AGE", "TYPE", "REASON", "FROM", "MESSAGE"}, rows)
}

// seen is when an event was last seen; each API has a field of its own for it.
func seen(e corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

func pageSize(vm *v1alpha1.VirtualMachine) v1alpha1.PageSize {
	if vm.Spec.Resources.Hugepages == nil {
		return ""
	}
	return vm.Spec.Resources.Hugepages.PageSize
}

// amounts writes what a VM holds or asks for; amounts of memory are bytes.
// most is what a guest may grow to while it runs; "" where it cannot.
func most(g v1alpha1.GrantedResources) string {
	if g.MaxCPU == 0 && g.MaxMemory == 0 {
		return ""
	}
	return amounts(max(g.CPU, g.MaxCPU), max(g.Memory, g.MaxMemory), 0, "")
}

// has is what a guest that can grow has by now, as far as its host said.
func has(host *v1alpha1.HostStatus) string {
	var parts []string
	if host.CPU > 0 {
		parts = append(parts, cpus(host.CPU))
	}
	if host.Memory > 0 {
		parts = append(parts, bytes(host.Memory))
	}
	return strings.Join(parts, ", ")
}

func cpus(n int32) string {
	if n == 1 {
		return "1 CPU"
	}
	return fmt.Sprintf("%d CPUs", n)
}

func amounts(cpu int32, memory, overhead int64, pages v1alpha1.PageSize) string {
	text := cpus(cpu) + ", " + bytes(memory)
	if pages != "" {
		text += fmt.Sprintf(" in pages of %s", pages)
	}
	if overhead > 0 {
		// It is nobody's to copy, and mostly computed: rounded, it is easier to read.
		text += fmt.Sprintf(" + %s for QEMU", capacity.Bytes(overhead))
	}
	return text
}

func bytes(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

// joined joins what is there with colons.
func joined(parts ...string) string {
	var all []string
	for _, part := range parts {
		if part = output.Safe(part); part != "" {
			all = append(all, part)
		}
	}
	return strings.Join(all, ": ")
}

// placed writes what a VM holds of a NUMA cell.
func placed(cell v1alpha1.PlacedCell) string {
	parts := []string{amounts(cell.CPU, cell.Memory, 0, "")}
	if cell.CPUs != "" {
		parts = append(parts, "pinned to CPUs "+cell.CPUs)
	}
	if cell.Idle != "" {
		parts = append(parts, "CPUs "+cell.Idle+" left idle")
	}
	return strings.Join(parts, ", ")
}

func device(d v1alpha1.PlacedDevice) string { return d.Name + " at " + d.Address }
