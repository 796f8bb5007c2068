package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/proc"
	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestPortsAreDistinctAndFree(t *testing.T) {
	ports, err := choosePorts(component.Ports{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, field := range reflect.ValueOf(ports).Fields() {
		port := int(field.Int())
		if port < firstPort || port > lastPort || seen[port] {
			t.Errorf("port %d is out of range or twice there: %+v", port, ports)
		}
		seen[port] = true
		listener, err := net.Listen("tcp", component.Address(port))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		_ = listener.Close()
	}
}

func TestSavedHostsAreKeptUnlessTheUserSaysOtherwise(t *testing.T) {
	l := layout.Layout{Dir: t.TempDir()}
	saved := &state{RealHost: true, SimulatedHosts: 2, DomainType: "qemu"}
	if err := saved.save(l); err != nil {
		t.Fatal(err)
	}
	asked := Options{Layout: l, SimulatedHosts: 20, DomainType: "auto"}
	tests := map[string]struct {
		chosen map[string]bool
		want   Options
	}{
		"nothing was said": {want: Options{Layout: l, RealHost: true, SimulatedHosts: 2, DomainType: "qemu"}},
		"one flag was given": {
			chosen: map[string]bool{FlagSimulatedHosts: true},
			want:   Options{Layout: l, RealHost: true, SimulatedHosts: 20, DomainType: "qemu"},
		},
		"every flag was given": {
			chosen: map[string]bool{FlagSimulatedHosts: true, FlagRealHost: true, FlagDomainType: true},
			want:   asked,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := asked
			if err := got.Saved(func(flag string) bool { return tc.chosen[flag] }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckNamesTheRemedy(t *testing.T) {
	err := Options{Bin: t.TempDir(), SimulatedHosts: 1000, DomainType: "xen"}.Check()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"run make build", "run make tools", "give a number from 0 to 999", "give auto, kvm or qemu"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestNotReady(t *testing.T) {
	hypervisor := func(name string, status metav1.ConditionStatus) v1alpha1.Hypervisor {
		h := v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
		h.Status.Conditions = []metav1.Condition{{Type: v1alpha1.HypervisorReady, Status: status}}
		return h
	}
	there := []v1alpha1.Hypervisor{hypervisor("a", metav1.ConditionTrue), hypervisor("b", metav1.ConditionFalse)}
	if diff := cmp.Diff([]string{"b", "c"}, notReady(there, []string{"a", "b", "c"})); diff != "" {
		t.Error(diff)
	}
}

func TestPhases(t *testing.T) {
	vm := func(phase v1alpha1.Phase) v1alpha1.VirtualMachine {
		return v1alpha1.VirtualMachine{Status: v1alpha1.VirtualMachineStatus{Phase: phase}}
	}
	tests := map[string]struct {
		vms  []v1alpha1.VirtualMachine
		want string
	}{
		"no VM":      {want: "none"},
		"two phases": {vms: []v1alpha1.VirtualMachine{vm("Running"), vm("Pending"), vm("Running")}, want: "1 Pending, 2 Running"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := phases(tc.vms); got != tc.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

// What was found running, and ends before it is ready, had been hurt before it was
// found: it is started again, once.
func TestWhatIsFoundAboutToEndIsStartedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		// lives says, by the number of the process, how long it does.
		lives string
		fails bool
	}{
		"once":           {lives: "$([ $n -eq 1 ] && echo 1 || echo 60)"},
		"and ends again": {lives: "1", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			spec := proc.Spec{
				Name: "it", Path: "/bin/sh", LogFile: filepath.Join(dir, "log"), RecordFile: filepath.Join(dir, "pid"),
				Args: []string{"-c", "cd '" + dir + "'; echo >> starts; n=$(wc -l < starts); exec sleep " + test.lives},
			}
			r, outcome, err := proc.Ensure(spec)
			if err != nil || outcome != proc.Started {
				t.Fatal(outcome, err)
			}
			t.Cleanup(func() {
				if last, err := proc.Load(spec.RecordFile); err == nil {
					_ = last.Stop(0)
				}
			})
			second := func(context.Context) error {
				content, err := os.ReadFile(filepath.Join(dir, "starts"))
				if err == nil && (test.fails || len(content) < 2) {
					err = errors.New("it is not ready")
				}
				return err
			}
			u := &upper{Options: Options{Timeout: 30 * time.Second}, say: NewProgress(io.Discard), found: map[string]proc.Spec{}}
			err = u.start(t.Context(), spec, second)
			if test.fails != errors.Is(err, errEnded) || !test.fails && err != nil {
				t.Errorf("it ends with %v", err)
			}
			now, err := proc.Load(spec.RecordFile)
			if err != nil || now.PID == r.PID || now.Alive() == test.fails {
				t.Errorf("found as %d, and now %+v, alive %t: %v", r.PID, now, now.Alive(), err)
			}
		})
	}
}

func TestAFailureShowsTheLogsEnd(t *testing.T) {
	log := filepath.Join(t.TempDir(), "etcd.log")
	if err := os.WriteFile(log, []byte("one\nno space left on device\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := &failure{component: "etcd", logFile: log, err: errEnded}
	want := "etcd: it ended by itself\nThe end of its log:\n  one\n  no space left on device\nThe whole log is " + log +
		". Once the cause is gone, run the same command again: what runs is kept."
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, errEnded) {
		t.Error("the cause is lost")
	}
}

func TestTwoRunsCannotChangeOneClusterAtOnce(t *testing.T) {
	l := layout.Layout{Dir: t.TempDir()}
	unlock, err := lock(l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(l); err == nil {
		t.Error("a second run got the lock")
	}
	unlock()
	again, err := lock(l)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
