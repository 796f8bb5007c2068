package importer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
	"domus.dev/domus/pkg/virtctl/output"
)

// writer creates VMs, and tells of them: results on standard output, and all that
// is said beside on the other stream.
type writer struct {
	*options
	streams   genericiooptions.IOStreams
	namespace string
	// program is what virtctl was called as.
	program string
}

// note tells something that is no result and no error.
func (w *writer) note(format string, args ...any) {
	if !w.quiet {
		_, _ = fmt.Fprintf(w.streams.ErrOut, "note: %s\n", fmt.Sprintf(format, args...))
	}
}

// write creates each VM that is not refused, and returns how many are there now,
// or would be.
func (w *writer) write(ctx context.Context, there *surroundings, all []arrival) (int, error) {
	progress := output.NewProgress(w.streams.ErrOut)
	defer progress.Stop()
	var errs []error
	var done []arrival
	var texts [][]byte
	for i := range all {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		a := &all[i]
		progress.Say(fmt.Sprintf("%d of %d: %s", i+1, len(all), output.Safe(a.String())))
		var text []byte
		said, err := w.one(ctx, there, a)
		// A dry run shows what is refused too, to be edited.
		if (err == nil || dryRun(w.dryRun) == dryRunClient) && a.vm != nil && a.there == nil && w.textFormat() != "" {
			var wrong error
			text, wrong = libvirtdoc.Text(a.vm, w.textFormat(), objects.ToOptions{})
			err = errors.Join(err, wrong)
		}
		if text != nil {
			texts = append(texts, text)
		}
		_ = progress.Aside(func() error { w.tell(a); return nil })
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if text == nil && said != "" {
			errs = append(errs, progress.Aside(func() error {
				_, err := fmt.Fprintln(w.streams.Out, said)
				return err
			}))
		}
		done = append(done, *a)
	}
	progress.Stop()
	if len(texts) > 0 {
		errs = append(errs, libvirtdoc.Stream(w.streams.Out, w.textFormat(), texts))
	}
	w.next(done)
	return len(done), errors.Join(errs...)
}

// textFormat is that in which VMs are printed whole; empty for a line of each.
func (w *writer) textFormat() documents.Format {
	switch {
	case w.format == "yaml" || w.format == "json":
		return documents.Format(w.format)
	case w.format == "" && dryRun(w.dryRun) == dryRunClient:
		return documents.YAML
	}
	return ""
}

// one creates a VM, and returns the line that is said of it.
func (w *writer) one(ctx context.Context, there *surroundings, a *arrival) (string, error) {
	switch {
	case a.managed != "":
		w.note("%s is left out: it is the domain of %s", a.String(), a.managed)
		return "", nil
	case a.there != nil:
		return w.line(a.there.Name, "is there already"), nil
	}
	if err := w.refused(a, there); err != nil {
		return "", err
	}
	switch dryRun(w.dryRun) {
	case dryRunClient:
		return w.line(a.vm.Name, "would be created"), nil
	case dryRunServer:
		if err := there.client.Create(ctx, a.vm.DeepCopy(), client.DryRunAll, client.FieldOwner("virtctl")); err != nil {
			return "", failure.API(err, "%s: creating virtualmachine %s", a.String(), a.vm.Name)
		}
		return w.line(a.vm.Name, "would be created (the API server says so)"), nil
	}
	if err := there.client.Create(ctx, a.vm, client.FieldOwner("virtctl")); err != nil {
		return "", failure.API(err, "%s: creating virtualmachine %s", a.String(), a.vm.Name)
	}
	return w.line(a.vm.Name, fmt.Sprintf("created, %s", strings.ToLower(string(a.vm.Spec.PowerState)))), nil
}

func (w *writer) line(name, said string) string {
	if w.format == "name" {
		return "virtualmachine.domus.dev/" + name
	}
	return "virtualmachine/" + name + " " + said
}

// refused is what the policy refuses. Where the level is only assumed the API
// server is asked, which knows it.
func (w *writer) refused(a *arrival, there *surroundings) error {
	if len(a.refusals) == 0 || there.assumed && dryRun(w.dryRun) != dryRunClient {
		return nil
	}
	errs := make([]error, len(a.refusals))
	for i, r := range a.refusals {
		errs[i] = failure.Refused("%s: %s", a.String(), r.Error())
	}
	return errors.Join(errs...)
}

// others says of documents in files that they are no VMs.
func (w *writer) others(read []libvirtdoc.ReadFound) {
	for _, r := range read {
		if _, is := r.Object.(*v1alpha1.VirtualMachine); !is && !r.Live() {
			w.note("%s: a %s is not brought in: it only tells where disks and networks are", r.String(), r.Object.GetObjectKind().GroupVersionKind().Kind)
		}
	}
}

// tell says what is otherwise than in the domain.
func (w *writer) tell(a *arrival) {
	for _, n := range a.Notes {
		w.note("%s", n)
	}
	if a.vm == nil || a.there != nil {
		return
	}
	if a.runs() && !a.Live() {
		// Two that write to one disk destroy it: it is said to the quiet too.
		_, _ = fmt.Fprintf(w.streams.ErrOut, "warning: %s: it ran when this was written, for it has an id, and must not run twice: shut it down where it runs before this VM is started\n", a.String())
	}
	for _, c := range a.changes {
		w.note("%s: %s", a.String(), c)
	}
}
