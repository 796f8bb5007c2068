package machine

import (
	"golang.org/x/sys/unix"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
)

// InitCommand is the hidden subcommand that is the host's first process.
const InitCommand = "host-init"

// Spec starts the host: self is this program, which becomes the first process
// of new namespaces. It is never restarted because something changed: that
// would be a power cut for its guests.
func Spec(l layout.Layout, self string) proc.Spec {
	return proc.Spec{
		Name: component.Host, Path: self, Args: []string{InitCommand, "--dir=" + l.Dir},
		LogFile: l.Log(component.Host), RecordFile: l.PID(component.Host),
		Namespaces:   unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		KeepOnChange: true,
	}
}
