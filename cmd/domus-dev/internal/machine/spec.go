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
	return spec(l, l, self, component.Host, component.RealNode)
}

// SecondSpec starts the second host of the cluster.
func SecondSpec(l layout.Layout, self string) proc.Spec {
	return spec(l, l.Second(), self, component.SecondHost, component.SecondNode)
}

// spec starts the host that lies at own, named node.
func spec(l, own layout.Layout, self, name, node string) proc.Spec {
	return proc.Spec{
		Name: name, Path: self, Args: []string{InitCommand, "--dir=" + own.Dir, "--node=" + node},
		LogFile: l.Log(name), RecordFile: l.PID(name),
		Namespaces:   unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		KeepOnChange: true,
	}
}
