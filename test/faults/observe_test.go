package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

// process is a process in one life: its id may be used again.
type process struct {
	pid     int
	started string
}

// observation is all that can be seen of a VM from outside, and what its guest
// says.
type observation struct {
	// vm is nil when the API server has none of the name.
	vm *v1alpha1.VirtualMachine
	// qemu is the process of the guest; none when pid is 0.
	qemu process
	// boots counts the banners on the guest's console since the VM was created.
	boots int
	// domain says whether libvirt has it, running or not.
	domain bool
	// quarantined is the reason for which the host leaves it alone.
	quarantined string
	// operation is what was asked of the VM, if anything was.
	operation *v1alpha1.VirtualMachineOperation
	// said is what the guest answers; nil while it has not been asked.
	said *word
}

// subject is a VM under test.
type subject struct {
	name, uuid string
	// note is what else the table says of it.
	note string
	// operation is the name of what was asked of it last.
	operation string
	// said is what its guest said before it came to be in a state in which it does
	// not answer.
	said *word
}

// defined is what domains libvirt has. Many who wait ask at the same time, and a
// process each would be much of what the machine does.
var defined = &domains{}

type domains struct {
	mu   sync.Mutex
	at   time.Time
	said string
	err  error
}

// list is as old as half a second.
func (d *domains) list() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.at) > 500*time.Millisecond {
		d.said, d.err = env.Virsh("list", "--all", "--uuid")
		d.at = time.Now()
	}
	return d.said, d.err
}

// process is where the guest runs now.
func (s *subject) process() process {
	pid := live.QEMU(s.uuid)
	if pid == 0 {
		return process{}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}
	}
	// proc_pid_stat(5): field 22 is the start, the second may have blanks in it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return process{}
	}
	return process{pid: pid, started: fields[19]}
}

// observe looks at the VM without asking its guest.
func (s *subject) observe(ctx context.Context) (observation, error) {
	vm, err := get(ctx, s.name)
	if err != nil {
		return observation{}, err
	}
	o := observation{vm: vm, qemu: s.process(), boots: strings.Count(env.Console(s.name), live.Banner)}
	domains, err := defined.list()
	if err != nil {
		return o, err
	}
	o.domain = strings.Contains(domains, s.uuid)
	if s.operation != "" {
		op := &v1alpha1.VirtualMachineOperation{}
		switch err := env.Get(ctx, client.ObjectKey{Namespace: live.Namespace, Name: s.operation}, op); {
		case err == nil:
			o.operation = op
		case !apierrors.IsNotFound(err):
			return o, err
		}
	}
	host := &v1alpha1.Hypervisor{}
	if err := env.Get(ctx, client.ObjectKey{Name: realNode}, host); err != nil {
		return o, err
	}
	for _, q := range host.Status.Quarantined {
		if q.UUID == s.uuid {
			o.quarantined = q.Reason
		}
	}
	return o, nil
}

// hear asks the guest, when there is one whose CPUs do not stand still.
func (o *observation) hear(timeout time.Duration) error {
	if o.qemu.pid == 0 || o.phase() == v1alpha1.PhasePaused {
		return nil
	}
	w, err := ask(o.qemu.pid, timeout)
	if err == nil {
		o.said = &w
	}
	return err
}

func (o observation) phase() v1alpha1.Phase {
	if o.vm == nil {
		return "none"
	}
	return o.vm.Status.Phase
}

// status is what an observation says in an error.
func (o observation) status() string {
	out := fmt.Sprintf("phase %s, process %d, %d boots, domain %t, quarantined %q", o.phase(), o.qemu.pid, o.boots, o.domain, o.quarantined)
	if o.vm != nil && o.vm.Status.Host != nil {
		out += fmt.Sprintf(", the host says %s %s %q", o.vm.Status.Host.State, o.vm.Status.Host.Reason, o.vm.Status.Host.Message)
	}
	if o.operation != nil {
		out += fmt.Sprintf(", the operation is %s %s %q", o.operation.Status.Phase, o.operation.Status.Reason, o.operation.Status.Message)
	}
	return out
}
