package libvirtdoc

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/live"
)

// Input says where documents are read: in files, or of a libvirt.
type Input struct {
	Files []string
	// URI is libvirt's, empty for files.
	URI string
	// All says that all of the libvirt is meant.
	All   bool
	kinds []string
	// explicit has that all is said.
	explicit bool
}

// AddFlags adds -f and --connect.
func (i *Input) AddFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVarP(&i.Files, "filename", "f", nil, "Files, folders, or - for standard input, with libvirt's XML, or objects in YAML or JSON.")
	flags.StringVarP(&i.URI, "connect", "c", "", "URI of a libvirt to read from, such as qemu:///system or qemu+ssh://root@host/system. Nothing there is changed.")
	i.kinds = []string{string(live.Domain)}
	// The flag is there: it was just added.
	_ = cmd.MarkFlagFilename("filename", "xml", "yaml", "yml", "json")
	complete.Flag(cmd, "connect", "qemu:///system", "qemu:///session", "qemu+ssh://", "qemu+tls://")
}

// AddKinds adds --kind, without which domains are read.
func (i *Input) AddKinds(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&i.kinds, "kind", []string{string(live.Domain)}, "With --connect: what to read: domain, network, pool, volume, domainsnapshot.")
	var kinds []string
	for _, k := range live.Kinds {
		kinds = append(kinds, string(k))
	}
	complete.Flag(cmd, "kind", kinds...)
}

// AddAll adds --all, without which nothing is read of a libvirt but what is named.
func (i *Input) AddAll(cmd *cobra.Command) {
	i.explicit = true
	cmd.Flags().BoolVar(&i.All, "all", false, "With --connect: all domains that are there.")
}

// Check refuses what is wrong with the flags. names are the command's arguments.
func (i *Input) Check(names []string) error {
	switch {
	case i.URI == "" && len(i.Files) == 0:
		return failure.Usage("say what to read: -f FILE, or --connect URI, such as --connect qemu:///system")
	case i.URI != "" && len(i.Files) > 0:
		return failure.Usage("give files with -f, or a libvirt with --connect, not both")
	case i.URI == "" && len(names) > 0:
		return failure.Usage("%q: names are those of domains at --connect URI: a file is given with -f", names[0])
	case i.URI == "" && i.All:
		return failure.Usage("--all is about the domains at --connect URI: of files all is read")
	case i.explicit && i.All && len(names) > 0:
		return failure.Usage("give names or --all, not both")
	case i.explicit && i.URI != "" && !i.All && len(names) == 0:
		return failure.Usage("name domains (see `virsh -c %s list --all`), or give --all", live.Quote(i.URI))
	}
	if i.URI == "" && len(i.kinds) > 0 && !slices.Equal(i.kinds, []string{string(live.Domain)}) {
		return failure.Usage("--kind is about what is at --connect URI: of files all is read")
	}
	for _, k := range i.kinds {
		if !slices.Contains(live.Kinds, live.Kind(k)) {
			return failure.Usage("--kind=%s: must be among domain, network, pool, volume, domainsnapshot", k)
		}
	}
	return nil
}

// Found is what was read, with what a libvirt says of it beside.
type Found = live.Found

// ReadFound reads what there is. With an error, which joins all that is wrong, the
// rest is returned.
func (i *Input) ReadFound(ctx context.Context, names []string, in io.Reader) ([]Found, error) {
	if i.URI != "" {
		return live.Read(ctx, i.URI, i.liveKinds(), names)
	}
	all, err := readFiles(ctx, i.Files, in)
	out := make([]Found, len(all))
	for n := range all {
		out[n].Document = all[n]
	}
	return out, err
}

// readFiles gives up with the context: a terminal or a pipe may have nothing to
// read for ever.
func readFiles(ctx context.Context, files []string, in io.Reader) ([]documents.Document, error) {
	type result struct {
		all []documents.Document
		err error
	}
	done := make(chan result, 1)
	go func() {
		all, err := documents.Read(files, in)
		done <- result{all, err}
	}()
	select {
	case r := <-done:
		return r.all, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Read is ReadFound without what a libvirt says beside.
func (i *Input) Read(ctx context.Context, names []string, in io.Reader) ([]documents.Document, error) {
	found, err := i.ReadFound(ctx, names, in)
	out := make([]documents.Document, len(found))
	for n := range found {
		out[n] = found[n].Document
	}
	return out, err
}

// Kinds has other kinds read than the flag says.
func (i *Input) Kinds(kinds ...live.Kind) {
	i.kinds = nil
	for _, k := range kinds {
		i.kinds = append(i.kinds, string(k))
	}
}

// ReadFound is a document that has been read, with what a libvirt says of it
// beside.
type ReadFound struct {
	Read
	Found Found
}

// Live says whether it is of a libvirt, and not of a file.
func (r *ReadFound) Live() bool { return r.Found.Kind != "" }

// ObjectsOf reads each, as Objects does.
func ObjectsOf(found []Found, opts objects.FromOptions) ([]ReadFound, error) {
	all := make([]documents.Document, len(found))
	for n := range found {
		all[n] = found[n].Document
	}
	read, err := Objects(all, opts)
	out := make([]ReadFound, len(read))
	for n := range read {
		out[n] = ReadFound{Read: read[n], Found: found[read[n].Index]}
	}
	return out, err
}

func (i *Input) liveKinds() []live.Kind {
	out := make([]live.Kind, len(i.kinds))
	for n, k := range i.kinds {
		out[n] = live.Kind(k)
	}
	return out
}

// completion bounds what a shell waits for.
const completion = 3 * time.Second

// CompleteNames completes the names of domains at --connect.
func (i *Input) CompleteNames(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	if i.URI == "" || strings.Contains(i.URI, "+ssh") {
		// A shell must not be asked for a password.
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completion)
	defer cancel()
	found, err := live.Read(ctx, i.URI, []live.Kind{live.Domain}, nil)
	if err != nil && len(found) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, f := range found {
		if slices.Contains(given, f.Name) {
			continue
		}
		about := "shut off"
		if f.Active {
			about = "active"
		}
		names = append(names, cobra.CompletionWithDesc(f.Name, about))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
