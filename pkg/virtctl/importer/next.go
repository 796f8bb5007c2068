package importer

import (
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/live"
)

// next says how the VMs are taken over from the old host.
func (w *writer) next(done []arrival) {
	if w.quiet || dryRun(w.dryRun) == dryRunServer {
		return
	}
	lines := steps(done, w.input.URI, w.program, w.namespace)
	if len(lines) == 0 {
		return
	}
	_, _ = fmt.Fprintf(w.streams.ErrOut, "\n%s\n", w.heading())
	for _, l := range lines {
		_, _ = fmt.Fprintln(w.streams.ErrOut, "  "+l)
	}
}

// heading is what the steps stand under. After a dry run the VMs are not there yet,
// and a domain that is undefined then is gone.
func (w *writer) heading() string {
	where, how := "at "+w.input.URI, ""
	if w.input.URI == "" {
		where, how = "where they are from", ", with virsh on the host that each is from"
	}
	if dryRun(w.dryRun) == dryRunClient {
		return "Nothing was created, and nothing was changed " + where + ". To take the VMs over" + how + ", bring them in without --dry-run first, and then:"
	}
	return "Nothing was changed " + where + ". To take the VMs over" + how + ":"
}

// steps are the commands that take VMs over, each with what it is for; uri is empty
// for domains in files. A guest is ended by its old host before Domus may start it.
func steps(done []arrival, uri, program, namespace string) []string {
	virsh := "virsh "
	if uri != "" {
		virsh = "virsh -c " + live.Quote(uri) + " "
	}
	var out []string
	for i := range done {
		a := &done[i]
		if !a.elsewhere() || a.vm == nil || a.there != nil && a.there.Spec.PowerState != v1alpha1.PowerStopped {
			continue
		}
		vm := a.vm
		if a.there != nil {
			vm = a.there
		}
		name := live.Quote(a.name())
		if a.Found.Saved {
			out = append(out, virsh+"start "+name+"  # its memory is saved there, and would be lost")
		}
		switch {
		case a.runs() || a.Found.Saved:
			out = append(out, virsh+"shutdown "+name+"  # and wait: virsh domstate says shut off")
		case !a.Live():
			// A file is of some time ago. What is undefined while it runs goes on running.
			out = append(out, virsh+"domstate "+name+"  # must say shut off: shut it down first if it does not")
		}
		if !a.Found.Transient {
			undefine := virsh + "undefine " + name + " --keep-nvram"
			if a.snapshots > 0 {
				undefine += fmt.Sprintf(" --snapshots-metadata  # its %d snapshots stay in its disks", a.snapshots)
			}
			out = append(out, undefine)
		}
		if vm.Spec.PowerState == v1alpha1.PowerStopped {
			out = append(out, fmt.Sprintf("%s start -n %s %s", program, namespace, vm.Name))
		}
	}
	return out
}
