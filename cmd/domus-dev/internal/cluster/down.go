package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/machine"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
)

// Down ends every process that Up started, the last one first, and nothing
// else. Guests of the real host lose power. With purge the folder goes too.
func Down(l layout.Layout, purge bool, say *Progress) error {
	s, err := loadState(l)
	if err != nil && !purge {
		return err
	}
	if s == nil && err == nil {
		say.Say("folder", "%s holds no cluster: nothing to end", l.Dir)
		return nil
	}
	unlock, err := lock(l)
	if err != nil {
		return err
	}
	defer unlock()
	names := component.Names()
	slices.Reverse(names)
	var wrong []error
	for _, name := range names {
		if err := end(l, name, say); err != nil {
			wrong = append(wrong, err)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	for _, host := range []layout.Layout{l, l.Second()} {
		if err := machine.ForgetCNI(host); err != nil {
			return err
		}
		if !host.SocketDirOutside() {
			continue
		}
		if err := os.RemoveAll(host.SocketDir()); err != nil {
			return fmt.Errorf("removing the sockets: %w", err)
		}
		// The folder above goes with the last cluster in it; until then this fails.
		_ = os.Remove(filepath.Dir(host.SocketDir()))
	}
	if !purge {
		say.Say("folder", "%s is kept: domus-dev up continues from it", l.Dir)
		return nil
	}
	if err := os.RemoveAll(l.Dir); err != nil {
		return fmt.Errorf("removing the cluster's folder: %w", err)
	}
	say.Say("folder", "%s removed", l.Dir)
	return nil
}

func end(l layout.Layout, name string, say *Progress) error {
	r, err := proc.Load(l.PID(name))
	if err != nil || r == nil {
		return err
	}
	if r.Alive() {
		if err := r.Stop(stopGrace); err != nil {
			return err
		}
		say.Say(name, "ended, pid %d", r.PID)
	}
	if err := os.Remove(l.PID(name)); err != nil {
		return fmt.Errorf("forgetting %s: %w", name, err)
	}
	return nil
}
