package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// fault is something that goes wrong. The functions get the VMs it hits, which
// leaves out their neighbour.
type fault struct {
	name string
	// short ones are tried in a short run, too, with VMs that are there.
	short bool
	// alone says that one strike is for one VM.
	alone bool
	// ready is done before there are VMs to hit; nil does nothing.
	ready func(t *testing.T)
	// prepare is done when the VMs are ready, before the last that happens to
	// them; nil does nothing.
	prepare func(t *testing.T)
	strike  func(t *testing.T, hit []*subject)
	// amid is held while it lasts, if not nil.
	amid func(t *testing.T, hit []*subject)
	// lasts is how long it lasts at least.
	lasts time.Duration
	// heal ends it; nil starts again what does not run.
	heal func(t *testing.T, hit []*subject)
	// after puts back what a later fault is not to find.
	after func(t *testing.T)
}

// The faults.
var (
	killedQEMU = &fault{
		name: "QEMU killed", short: true,
		strike: func(t *testing.T, hit []*subject) {
			for _, s := range hit {
				within(t, bootTime, "QEMU runs "+s.name, func() string {
					if s.process().pid == 0 {
						return "it does not"
					}
					return ""
				})
				signal(t, s.process().pid, syscall.SIGKILL)
			}
		},
	}
	// stuckQEMU: neither the monitor answers nor does the guest run.
	stuckQEMU = &fault{
		name: "QEMU hangs for 30 s", lasts: 30 * time.Second,
		strike: func(t *testing.T, hit []*subject) {
			for _, s := range hit {
				p := s.process().pid
				if p == 0 {
					t.Fatalf("no QEMU runs %s", s.name)
				}
				signal(t, p, syscall.SIGSTOP)
			}
		},
		heal: func(t *testing.T, hit []*subject) {
			for _, s := range hit {
				if p := s.process().pid; p != 0 { // it may have been switched off
					signal(t, p, syscall.SIGCONT)
				}
			}
		},
	}
	fullDisk = &fault{
		name:  "a guest's disk finds no room",
		ready: layScratch,
		strike: func(t *testing.T, hit []*subject) {
			for _, s := range hit {
				line := fmt.Sprintf("dd if=/dev/zero of=/dev/vdb bs=1M count=%d &\n", scratchWrites)
				must(t, converse(s.process().pid, line, bootTime, func(said string) bool { return strings.Contains(said, "dd if=") }))
			}
			for _, s := range hit {
				reaches(t, s, func(o observation) string {
					return all(want("phase", o.phase(), v1alpha1.PhasePaused), want("reason", reason(o), v1alpha1.ReasonDiskFull))
				})
			}
		},
		heal: func(t *testing.T, _ []*subject) {
			inHost(t, "mount", "-o", "remount,size=256m", scratchInside)
		},
		after: func(t *testing.T) {
			_, err := env.Virsh("pool-destroy", scratchPool)
			must(t, err)
			inHost(t, "umount", "--lazy", scratchInside)
		},
	}
	killedLibvirtd = &fault{
		name: "libvirtd killed", short: true,
		strike: func(t *testing.T, hit []*subject) {
			bound(t, hit)
			killLibvirtd(t)
		},
	}
	absentLibvirtd = &fault{
		name: "libvirtd away for 60 s", lasts: time.Minute,
		strike: func(t *testing.T, hit []*subject) {
			bound(t, hit)
			// Its keeper stands still, so that nobody starts it again.
			signal(t, pid(t, realHost), syscall.SIGSTOP)
			killLibvirtd(t)
		},
		heal: func(t *testing.T, _ []*subject) {
			signal(t, pid(t, realHost), syscall.SIGCONT)
			up(t)
		},
	}
	absentAPI = &fault{
		name: "API server away for 40 s", lasts: 40 * time.Second,
		strike: func(t *testing.T, hit []*subject) {
			bound(t, hit)
			kill(t, apiServer)
		},
	}
	killedExecutor = &fault{
		name: "vm-executor killed", short: true, lasts: 5 * time.Second,
		strike: func(t *testing.T, hit []*subject) {
			bound(t, hit)
			kill(t, executor)
		},
	}
	killedScheduler = &fault{
		name: "vm-scheduler killed", lasts: 5 * time.Second,
		strike: func(t *testing.T, _ []*subject) { kill(t, scheduler) },
	}
	fullStateDir = &fault{
		name: "vm-executor's folder is full",
		strike: func(t *testing.T, _ []*subject) {
			dir := stateDir()
			must(t, os.MkdirAll(dir, 0o750))
			shell(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", dir)
			must(t, os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 4096), 0o600))
			if err := os.WriteFile(filepath.Join(dir, "more"), []byte("x"), 0o600); err == nil {
				t.Fatal("there is still room")
			}
			kill(t, executor)
			up(t)
		},
		heal: func(*testing.T, []*subject) {},
		after: func(t *testing.T) {
			shell(t, "umount", "--lazy", stateDir())
			kill(t, executor)
			up(t)
		},
	}
	// rebooted: the kernel ends everything in the host with its first process; the
	// executor is the host's, too.
	rebooted = &fault{
		name: "host loses power", lasts: 5 * time.Second,
		strike: func(t *testing.T, hit []*subject) {
			bound(t, hit)
			kill(t, realHost, executor)
			for _, s := range hit {
				within(t, settleTime, "nothing runs on the host", func() string { return want("QEMU", s.process().pid, 0) })
			}
		},
	}
	restored = &fault{
		name:    "etcd restored from a copy",
		prepare: func(t *testing.T) { copyEtcd(t, etcdData(), etcdCopy()) },
		strike:  func(t *testing.T, _ []*subject) { copyEtcd(t, etcdCopy(), etcdData()) },
	}
)

// bound waits until the executor has all of them to work on. One that gives its
// place back may have done so.
func bound(t *testing.T, hit []*subject) {
	t.Helper()
	for _, s := range hit {
		within(t, settleTime, s.name+" is bound", func() string {
			vm, err := get(t.Context(), s.name)
			if err != nil {
				return err.Error()
			}
			if vm == nil || vm.Status.Placement == nil && vm.Spec.WhenStopped != v1alpha1.SlotRelease {
				return "it is not"
			}
			return ""
		})
	}
}

func stateDir() string { return filepath.Join(env.Dir, "data", executor) }
func etcdData() string { return filepath.Join(env.Dir, "data", etcd) }
func etcdCopy() string { return filepath.Join(env.Dir, "etcd-copy") }

// copyEtcd puts a copy of one folder in the place of another, while nothing
// writes to either, and starts etcd again. Whoever watched the API server is not
// told.
func copyEtcd(t *testing.T, from, to string) {
	t.Helper()
	kill(t, apiServer, etcd)
	must(t, os.RemoveAll(to))
	must(t, os.CopyFS(to, os.DirFS(from)))
	must(t, os.Chmod(to, 0o700))
	up(t)
}

// tainted says that the host's Node does not carry the taint.
func tainted(t *testing.T, key string) string {
	node := &corev1.Node{}
	if err := env.Get(t.Context(), client.ObjectKey{Name: realNode}, node); err != nil {
		return err.Error()
	}
	for _, taint := range node.Spec.Taints {
		if taint.Key == key {
			return ""
		}
	}
	return fmt.Sprintf("the host has no taint %s", key)
}
