package audit

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes the report for a person.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "VM\tWRITES\tREFUSED\tRUNNING AFTER\tBY")
	for _, vm := range r.VMs {
		after := "not yet"
		if !vm.RunningAt.IsZero() {
			after = fmt.Sprintf("%.1fs", vm.RunningAt.Sub(vm.Created).Seconds())
		}
		var by []string
		for _, c := range vm.Writes {
			by = append(by, fmt.Sprintf("%s %s %s x%d", c.User, c.Verb, c.Resource, c.Number))
		}
		_, _ = fmt.Fprintf(t, "%s/%s\t%d\t%d\t%s\t%s\n", vm.Namespace, vm.Name, vm.Total, vm.Refused, after, strings.Join(by, "; "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range r.PodWrites {
		_, _ = fmt.Fprintf(w, "POD WRITE %s: %s %s %s by %s, answered %d\n", p.Time.Format("15:04:05"), p.Verb, p.Resource, p.Pod, p.User, p.Code)
	}
	_, err := fmt.Fprintf(w, "%d VMs, %d became Running; writes to a VM until then, its creation included: at most %d, %.2f on average\n%d writes of any kind, %d of them Events, %d to pods\n",
		len(r.VMs), r.Running, r.MaxWrites, r.MeanWrites, r.Writes, r.EventWrites, len(r.PodWrites))
	return err
}

// Verdict is an error that says what the log shows and should not: a write to
// a pod, or a VM that took more than maxWrites writes to become Running, those left
// out that said why it had to wait or asked for something else, or one more where its
// start was announced.
func (r *Report) Verdict(maxWrites int) error {
	var wrong []string
	if n := len(r.PodWrites); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d writes to pods, the first by %s", n, r.PodWrites[0].User))
	}
	for _, vm := range r.VMs {
		allowed := maxWrites + vm.Waits + vm.Asked
		if vm.Announced {
			allowed++
		}
		if vm.Total > allowed {
			wrong = append(wrong, fmt.Sprintf("%d writes to VM %s/%s, more than %d", vm.Total, vm.Namespace, vm.Name, allowed))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the audit log shows %s", strings.Join(wrong, "; "))
	}
	return nil
}
