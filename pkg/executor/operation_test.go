package executor

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// ask stores an operation.
func (s *stage) ask(op *v1alpha1.VirtualMachineOperation) {
	s.t.Helper()
	if err := s.api.Create(context.Background(), op.DeepCopy()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) operation(name string) *v1alpha1.VirtualMachineOperation {
	s.t.Helper()
	op := &v1alpha1.VirtualMachineOperation{}
	if err := s.api.Get(context.Background(), types.NamespacedName{Namespace: "default", Name: name}, op); err != nil {
		s.t.Fatal(err)
	}
	return op
}

// operate looks at the VM's operations once.
func (s *stage) operate() {
	s.t.Helper()
	if _, err := s.agent.operate(context.Background(), guestKey); err != nil {
		s.t.Fatal(err)
	}
}

// did counts what was done to the guest.
func (s *stage) did(what string) int {
	n := 0
	for _, d := range s.host.done {
		if d == what {
			n++
		}
	}
	return n
}

// aPicture is a PNG as large as a text console.
func aPicture(t *testing.T) libvirt.Picture {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, 720, 400))); err != nil {
		t.Fatal(err)
	}
	return libvirt.Picture{MIME: "image/png", Data: out.Bytes()}
}

// works is a stage with a guest that runs.
func works(t *testing.T, vm *v1alpha1.VirtualMachine) *stage {
	t.Helper()
	s := newStage(t, vm)
	s.host.picture = aPicture(t)
	s.mustTurn()
	s.told()
	s.writes, s.host.done = nil, nil
	return s
}

func TestOperationsBesideTheTurn(t *testing.T) {
	now := &metav1.Time{Time: vmtest.Now}
	done := func(message string) v1alpha1.VirtualMachineOperationStatus {
		s := vmtest.Operation("").Status
		s.Phase, s.Message, s.StartedAt, s.FinishedAt = v1alpha1.OperationSucceeded, message, now, now
		return s
	}
	for kind, c := range map[v1alpha1.OperationType]struct {
		did    string
		writes int
		want   v1alpha1.VirtualMachineOperationStatus
		told   string
	}{
		v1alpha1.OperationReset:        {"reset", 2, done("the guest was reset and boots anew"), "Reset"},
		v1alpha1.OperationSendKey:      {"key", 2, done("the keys were pressed together for 100ms"), "KeysPressed"},
		v1alpha1.OperationSetPassword:  {"password", 1, done("the password of user root was set"), "PasswordSet"},
		v1alpha1.OperationInjectSSHKey: {"ssh key", 1, done("the keys are among those that user root is let in with"), "SSHKeysInjected"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			s := works(t, vmtest.Bound())
			s.ask(vmtest.Operation(kind))
			s.operate()
			s.operate() // the events of our own doing come back
			if diff := cmp.Diff([]string{c.did}, s.host.done); diff != "" {
				t.Errorf("on the host: %s", diff)
			}
			if diff := cmp.Diff(c.want, s.operation("op").Status); diff != "" {
				t.Errorf("status: %s", diff)
			}
			if len(s.writes) != c.writes {
				t.Errorf("writes: %v", s.writes)
			}
			if diff := cmp.Diff([]string{c.told}, s.told()); diff != "" {
				t.Errorf("events: %s", diff)
			}
		})
	}
}

func TestAScreenshotIsKeptAsPNG(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.ask(vmtest.Operation(v1alpha1.OperationScreenshot))
	s.operate()
	got := s.operation("op").Status
	if got.Phase != v1alpha1.OperationSucceeded || got.Screenshot == nil {
		t.Fatalf("%+v", got)
	}
	config, err := png.DecodeConfig(bytes.NewReader(got.Screenshot.PNG))
	if err != nil || config.Width != 720 || got.Screenshot.Width != 720 || got.Screenshot.Height != 400 {
		t.Errorf("%d by %d: %+v %v", got.Screenshot.Width, got.Screenshot.Height, config, err)
	}
}

func TestMeasuringReadsTwice(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.host.counters = libvirt.Counters{Resident: 300 << 20, GuestUsed: ptr.To[int64](19 << 20), NetSent: 7}
	s.ask(vmtest.Operation(v1alpha1.OperationMeasure))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.operate()
	}()
	eventually(t, "the first reading", func() bool {
		s.host.mu.Lock()
		defer s.host.mu.Unlock()
		return s.did("counters") == 1
	})
	select { // it waits now, or will
	case <-ended:
		t.Fatal("it did not wait between the readings")
	case <-time.After(100 * time.Millisecond):
	}
	s.clock.Step(measurePause)
	<-ended
	want := &v1alpha1.Usage{CPUMillis: 500, Memory: 300 << 20, GuestMemoryUsed: ptr.To[int64](19 << 20), BlockRead: 4096}
	if diff := cmp.Diff(want, s.operation("op").Status.Usage); diff != "" {
		t.Error(diff)
	}
}

// overtaken are operations to which something happens before they are listed for
// the second time.
type overtaken struct {
	Operations
	listed int
	then   func()
}

func (o *overtaken) Of(ctx context.Context, vm types.NamespacedName) []*v1alpha1.VirtualMachineOperation {
	if o.listed++; o.listed == 2 {
		o.then()
	}
	return o.Operations.Of(ctx, vm)
}

// TestAForceStopDoesNotWaitForWhatItOvertakes: what is being asked of the guest is
// abandoned, whoever hears of it first.
func TestAForceStopDoesNotWaitForWhatItOvertakes(t *testing.T) {
	for name, early := range map[string]bool{"while it is under way": false, "before it is": true} {
		t.Run(name, func(t *testing.T) {
			s := works(t, vmtest.Bound())
			s.ask(vmtest.Operation(v1alpha1.OperationMeasure))
			overtake := func() {
				op := s.operation("op")
				op.Status.Phase, op.Status.Reason = v1alpha1.OperationFailed, v1alpha1.ReasonSuperseded
				if err := s.api.Status().Update(context.Background(), op); err != nil {
					t.Error(err)
				}
				s.ask(vmtest.Operation(v1alpha1.OperationForceStop, func(op *v1alpha1.VirtualMachineOperation) {
					op.Name, op.UID, op.CreationTimestamp = "plug", "plug-uid", metav1.Time{Time: vmtest.Now.Add(time.Second)}
				}))
			}
			if early {
				// The second time that it is listed is when the host is about to be asked.
				s.agent.operations.watched = &overtaken{Operations: s.ops, then: overtake}
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.operate()
			}()
			eventually(t, "the first reading", func() bool {
				s.host.mu.Lock()
				defer s.host.mu.Unlock()
				return s.did("counters") == 1
			})
			if !early {
				overtake()
			}
			if !early {
				s.agent.operationChanged(s.operation("op"))
			}
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("it is still being measured")
			}
			if got := s.operation("op").Status; got.Reason != v1alpha1.ReasonSuperseded {
				t.Errorf("what was overtaken: %+v", got)
			}
			s.operate()
			s.mustTurn()
			if got := s.operation("plug").Status; got.Phase != v1alpha1.OperationSucceeded || s.did("destroy") != 1 {
				t.Errorf("the ForceStop: %+v; on the host: %v", got, s.host.done)
			}
		})
	}
}

func TestARestartShutsDownAndStartsWithTheSpecAsItIs(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Generation = 8 })
	s.ask(vmtest.Operation(v1alpha1.OperationRestart))
	s.clock.Step(time.Minute)
	s.operate()
	if got := s.operation("op").Status; got.Phase != v1alpha1.OperationRunning || got.StartedAt == nil {
		t.Fatalf("%+v", got)
	}
	s.mustTurn()
	s.mustTurn()
	if diff := cmp.Diff([]string{"shutdown", "define", "start"}, s.host.done); diff != "" {
		t.Errorf("on the host: %s", diff)
	}
	got := s.operation("op").Status
	if got.Phase != v1alpha1.OperationSucceeded || got.Message != "the guest was started with the spec as it is now" {
		t.Errorf("%+v", got)
	}
	vm := s.vm()
	if !vm.Status.Host.StartedAt.Time.Equal(s.clock.Now()) || vm.Status.ObservedGeneration != 8 || vm.Status.Host.State != v1alpha1.HostRunning {
		t.Errorf("%+v", vm.Status)
	}
	if diff := cmp.Diff([]string{"Started", "Restarted"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
	// begun, Stopping, Running, over.
	if len(s.writes) != 4 {
		t.Errorf("writes: %v", s.writes)
	}
}

func TestAGuestThatIsRestartedIsStartedOnceAlthoughTheAgentDies(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.ask(vmtest.Operation(v1alpha1.OperationRestart))
	s.operate()
	s.host.deaf = true
	s.mustTurn() // asks it to shut down
	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, "shut down")
	s.restart()
	s.host.done = nil
	// The VM has its turn before the new process has looked at the operation.
	s.mustTurn()
	if len(s.host.done) > 0 {
		t.Fatalf("on the host: %v", s.host.done)
	}
	s.operate()
	s.mustTurn()
	s.mustTurn()
	s.operate()
	if s.did("start") != 1 || s.did("shutdown") != 0 || s.did("destroy") != 0 || s.operation("op").Status.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("on the host: %v; %+v", s.host.done, s.operation("op").Status)
	}
}

func TestARestartStartsAGuestThatWaitsToBeTriedAgain(t *testing.T) {
	s := works(t, vmtest.Bound())
	for range 3 { // its back-off grows
		_ = s.host.set(vmtest.UID, libvirt.StateShutOff, "crashed")
		s.mustTurn()
		s.clock.Step(time.Minute)
		s.mustTurn()
	}
	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, "crashed")
	s.mustTurn()
	if s.said().State != v1alpha1.HostFailed {
		t.Fatalf("%+v", s.said())
	}
	s.ask(vmtest.Operation(v1alpha1.OperationRestart))
	s.operate()
	s.mustTurn()
	if s.said().State != v1alpha1.HostRunning || s.operation("op").Status.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("%+v %+v", s.said(), s.operation("op").Status)
	}
	if s.did("shutdown") != 0 {
		t.Error("a guest that had ended was asked to shut down")
	}
}

func TestADeafGuestIsSwitchedOffByARestart(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.host.deaf = true
	s.ask(vmtest.Operation(v1alpha1.OperationRestart))
	s.operate()
	s.mustTurn()
	s.clock.Step(29 * time.Second)
	s.mustTurn()
	if s.did("destroy") != 0 {
		t.Fatal("switched off before its grace period was over")
	}
	s.clock.Step(time.Second)
	s.mustTurn()
	if s.did("destroy") != 1 || s.did("start") != 1 || s.operation("op").Status.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("%v %+v", s.host.done, s.operation("op").Status)
	}
}

func TestAForceStopIsOverBeforeTheGuestIsStartedAgain(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.ask(vmtest.Operation(v1alpha1.OperationForceStop))
	s.operate()
	s.mustTurn()
	got := s.operation("op").Status
	if got.Phase != v1alpha1.OperationSucceeded || s.did("destroy") != 1 || s.did("start") != 0 {
		t.Fatalf("%+v %v", got, s.host.done)
	}
	// powerState is Running and runPolicy Always.
	s.clock.Step(plan.FirstBackoff)
	s.operate()
	s.mustTurn()
	if s.said().State != v1alpha1.HostRunning || s.did("destroy") != 1 || s.did("start") != 1 {
		t.Errorf("%+v %v", s.said(), s.host.done)
	}
}

func TestAForceStopEndsALongGracePeriod(t *testing.T) {
	for name, change := range map[string]func(*stage){
		"of a VM that is stopped": func(s *stage) { s.edit(vmtest.Switched) },
		"of a VM that is deleted": func(s *stage) {
			if err := s.api.Delete(context.Background(), s.vm()); err != nil {
				s.t.Fatal(err)
			}
		},
		"of a VM that is evicted": func(s *stage) { s.edit(vmtest.Evicted) },
	} {
		t.Run(name, func(t *testing.T) {
			s := works(t, vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Spec.TerminationGracePeriodSeconds = ptr.To[int64](3600) }))
			s.host.deaf = true
			change(s)
			s.mustTurn()
			if s.did("destroy") != 0 {
				t.Fatal("switched off already")
			}
			s.ask(vmtest.Operation(v1alpha1.OperationForceStop))
			s.operate()
			s.mustTurn()
			if s.did("destroy") != 1 || s.operation("op").Status.Phase != v1alpha1.OperationSucceeded || s.did("start") != 0 {
				t.Errorf("%v %+v", s.host.done, s.operation("op").Status)
			}
		})
	}
}

// TestAnOperationSurvivesACrash kills the executor before and after each of its
// changes to the host and to the API server, and starts it again.
func TestAnOperationSurvivesACrash(t *testing.T) {
	for kind, hold := range map[v1alpha1.OperationType]func(*stage, v1alpha1.VirtualMachineOperationStatus) bool{
		v1alpha1.OperationRestart: func(s *stage, op v1alpha1.VirtualMachineOperationStatus) bool {
			return op.Phase == v1alpha1.OperationSucceeded && s.did("start") == 1 && s.said().State == v1alpha1.HostRunning
		},
		v1alpha1.OperationForceStop: func(s *stage, op v1alpha1.VirtualMachineOperationStatus) bool {
			return op.Phase == v1alpha1.OperationSucceeded && s.did("destroy") == 1
		},
		v1alpha1.OperationReset:        once("reset"),
		v1alpha1.OperationSendKey:      once("key"),
		v1alpha1.OperationScreenshot:   repeated("screenshot"),
		v1alpha1.OperationSetPassword:  repeated("password"),
		v1alpha1.OperationInjectSSHKey: repeated("ssh key"),
	} {
		t.Run(string(kind), func(t *testing.T) {
			for crash := 1; ; crash++ {
				for _, after := range []bool{false, true} {
					s := works(t, vmtest.Bound())
					s.ask(vmtest.Operation(kind))
					reached := s.crashAt(crash, after)
					got := s.operation("op").Status
					if !hold(s, got) {
						t.Errorf("crash %d (after: %v): %v, %+v", crash, after, s.host.done, got)
					}
					if reached {
						continue
					}
					if crash == 1 {
						t.Fatal("nothing was done")
					}
					if got.Phase != v1alpha1.OperationSucceeded {
						t.Errorf("without a crash: %+v", got)
					}
					return
				}
			}
		})
	}
}

// once holds what must not be done twice: it was done, or it is said that this is
// not known.
func once(what string) func(*stage, v1alpha1.VirtualMachineOperationStatus) bool {
	return func(s *stage, op v1alpha1.VirtualMachineOperationStatus) bool {
		switch op.Phase {
		case v1alpha1.OperationSucceeded:
			return s.did(what) == 1
		case v1alpha1.OperationFailed:
			return op.Reason == v1alpha1.ReasonInterrupted && s.did(what) <= 1
		}
		return false
	}
}

func repeated(what string) func(*stage, v1alpha1.VirtualMachineOperationStatus) bool {
	return func(s *stage, op v1alpha1.VirtualMachineOperationStatus) bool {
		return op.Phase == v1alpha1.OperationSucceeded && s.did(what) >= 1
	}
}

// crashAt looks after the operation until it is over. The process dies at its nth
// change, from which on it changes nothing more; another takes its place.
func (s *stage) crashAt(nth int, after bool) (reached bool) {
	s.t.Helper()
	n := 0
	hook := func(string) (error, error) {
		n++
		switch {
		case n < nth:
			return nil, nil
		case n == nth && after:
			return nil, errCrash
		}
		return errCrash, nil
	}
	s.host.step, s.refuse = hook, hook
	for range 60 {
		_, err := s.agent.operate(context.Background(), guestKey)
		if n < nth {
			err = errors.Join(err, s.turn())
		}
		switch {
		case n >= nth && !reached:
			reached = true
			s.host.step = func(string) (error, error) { return nil, nil }
			s.refuse = s.host.step
			nth = 1 << 30
			s.restart()
		case err != nil:
			s.t.Fatal(err)
		case s.operation("op").Status.Finished():
			return reached
		}
		s.clock.Step(time.Second)
	}
	s.t.Fatalf("crash %d (after: %v): it was never over: %+v, %v", nth, after, s.operation("op").Status, s.host.done)
	return false
}

func TestTwoOperationsAreDoneOneAfterAnother(t *testing.T) {
	s := works(t, vmtest.Bound())
	named := func(name string, age time.Duration) func(*v1alpha1.VirtualMachineOperation) {
		return func(op *v1alpha1.VirtualMachineOperation) {
			op.Name, op.UID, op.CreationTimestamp = name, types.UID(name), metav1.Time{Time: vmtest.Now.Add(-age)}
		}
	}
	s.ask(vmtest.Operation(v1alpha1.OperationScreenshot, named("a-second", 0)))
	s.ask(vmtest.Operation(v1alpha1.OperationReset, named("z-first", time.Second)))
	s.operate()
	if diff := cmp.Diff([]string{"reset"}, s.host.done); diff != "" {
		t.Fatal(diff)
	}
	if s.agent.operations.queue.Len() != 1 {
		t.Error("the second one is not looked at")
	}
	s.operate()
	if diff := cmp.Diff([]string{"reset", "screenshot"}, s.host.done); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAnErrorMeansForAnOperation(t *testing.T) {
	for name, c := range map[string]struct {
		kind    v1alpha1.OperationType
		err     error
		reason  string
		message string
	}{
		"a monitor that hangs": {v1alpha1.OperationScreenshot, &libvirtError{libvirt.ErrTimeout, "taking a picture of domain x: libvirt did not answer in time"},
			v1alpha1.ReasonTimedOut, "waited for QEMU or the guest's agent to answer: taking a picture of domain x: libvirt did not answer in time: an operation of type ForceStop"},
		"a reset of which nothing is known": {v1alpha1.OperationReset, &libvirtError{libvirt.ErrTimeout, "x"},
			v1alpha1.ReasonTimedOut, "whether it took effect is not known"},
		"libvirt dies under a reset":            {v1alpha1.OperationReset, libvirt.ErrUnavailable, v1alpha1.ReasonInterrupted, "whether it took effect is not known"},
		"an agent that does not answer":         {v1alpha1.OperationSetPassword, libvirt.ErrAgentUnanswered, v1alpha1.ReasonAgentUnavailable, "may yet do it when it goes on"},
		"no agent":                              {v1alpha1.OperationSetPassword, libvirt.ErrAgentUnavailable, v1alpha1.ReasonAgentUnavailable, "org.qemu.guest_agent.0"},
		"a guest that ended":                    {v1alpha1.OperationReset, libvirt.ErrWrongState, v1alpha1.ReasonWrongState, "not in a state"},
		"no screen":                             {v1alpha1.OperationScreenshot, libvirt.ErrNoScreen, v1alpha1.ReasonOperationRefused, "give it a video device, spec.domain.devices.videos"},
		"no such key":                           {v1alpha1.OperationSendKey, libvirt.ErrUnknownKey, v1alpha1.ReasonOperationRefused, "spec.sendKey.keys: there is no such key"},
		"something else":                        {v1alpha1.OperationInjectSSHKey, errors.New("no such user"), v1alpha1.ReasonOperationRefused, "no such user"},
		"an error that repeats the vmtest.Hash": {v1alpha1.OperationSetPassword, errors.New("bad: " + vmtest.Hash), v1alpha1.ReasonOperationRefused, "bad: (the hash)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := works(t, vmtest.Bound())
			s.host.operateErr = c.err
			s.ask(vmtest.Operation(c.kind))
			s.operate()
			got := s.operation("op").Status
			if got.Phase != v1alpha1.OperationFailed || got.Reason != c.reason || !strings.Contains(got.Message, c.message) || strings.Contains(got.Message, vmtest.Hash) {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff([]string{"OperationFailed"}, s.told()); diff != "" {
				t.Errorf("events: %s", diff)
			}
		})
	}
}

// libvirtError is an error of a kind, with words of its own.
type libvirtError struct {
	kind error
	text string
}

func (e *libvirtError) Error() string { return e.text }
func (e *libvirtError) Unwrap() error { return e.kind }

// TestAGuestThatIsBusyIsAskedAgain: another call about it is on its way.
func TestAGuestThatIsBusyIsAskedAgain(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.host.operateErr = libvirt.ErrBusy
	s.ask(vmtest.Operation(v1alpha1.OperationReset))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.operate()
	}()
	resets := func() int {
		s.host.mu.Lock()
		defer s.host.mu.Unlock()
		return s.did("reset")
	}
	eventually(t, "it is asked", func() bool { return resets() == 1 })
	s.host.mu.Lock()
	s.host.operateErr = nil
	s.host.mu.Unlock()
	eventually(t, "it is asked again", func() bool {
		s.clock.Step(busyPause)
		return resets() == 2
	})
	<-ended
	if got := s.operation("op").Status; got.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("%+v", got)
	}
}

// What ran out while this host's executor was dead says so, whether or not libvirt
// has answered the new one.
func TestAnOperationThatRanOutWhileTheExecutorWasNotRunningSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		dead time.Duration
		away bool
		want string
	}{
		"before libvirt has answered": {2 * time.Minute, true, "the vm-executor of host-a, which was not running"},
		"libvirt has answered":        {time.Minute, false, "the vm-executor of host-a, which was not running"},
		"libvirt does not answer it":  {40 * time.Second, true, "the vm-executor of host-a, which was not running until 12:00:40 UTC, and for libvirt there, which has not answered it since"},
	} {
		t.Run(name, func(t *testing.T) {
			s := works(t, vmtest.Bound())
			s.ask(vmtest.Operation(v1alpha1.OperationScreenshot, vmtest.Within(60)))
			s.clock.Step(c.dead)
			s.host.away = c.away
			s.restart()
			s.operate()
			s.clock.Step(max(0, time.Minute-c.dead))
			s.operate()
			if got := s.operation("op").Status; got.Reason != v1alpha1.ReasonTimedOut || got.Message != "1m0s passed while waiting for "+c.want {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAnOperationWaitsForLibvirt(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.ask(vmtest.Operation(v1alpha1.OperationScreenshot, vmtest.Within(60)))
	s.host.operateErr = libvirt.ErrUnavailable
	s.operate()
	if got := s.operation("op").Status; got.Phase != v1alpha1.OperationPending {
		t.Fatalf("%+v", got)
	}
	s.host.operateErr, s.agent.ready = nil, false
	s.operate()
	s.clock.Step(time.Minute)
	s.operate()
	if got := s.operation("op").Status; got.Reason != v1alpha1.ReasonTimedOut || got.Message != "1m0s passed while waiting for libvirt on host-a, which does not answer" {
		t.Errorf("%+v", got)
	}
	if s.did("screenshot") != 1 { // the one that found libvirt away
		t.Errorf("%v", s.host.done)
	}
}

func TestWhatIsNotTheGuestsBindingIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*stage)
		reason string
	}{
		"the domain is another's": {func(s *stage) {
			d := s.host.domains[vmtest.UID]
			d.Metadata = strings.ReplaceAll(d.Metadata, vmtest.Cluster, "cluster-2")
			s.host.domains[vmtest.UID] = d
		}, v1alpha1.ReasonWrongState},
		"there is no domain":        {func(s *stage) { delete(s.host.domains, vmtest.UID) }, v1alpha1.ReasonWrongState},
		"the guest is off":          {func(s *stage) { _ = s.host.set(vmtest.UID, libvirt.StateShutOff, "destroyed") }, v1alpha1.ReasonWrongState},
		"the binding ended":         {func(s *stage) { s.edit(vmtest.Epoch(4)) }, v1alpha1.ReasonBindingEnded},
		"the VM is on another host": {func(s *stage) { s.edit(vmtest.Moved) }, v1alpha1.ReasonBindingEnded},
	} {
		t.Run(name, func(t *testing.T) {
			s := works(t, vmtest.Bound())
			c.change(s)
			s.ask(vmtest.Operation(v1alpha1.OperationReset))
			s.operate()
			if got := s.operation("op").Status; got.Reason != c.reason || s.did("reset") != 0 {
				t.Errorf("%+v, %v", got, s.host.done)
			}
		})
	}
}

// TestEveryTypeIsKnown: a type that is added to the API must be added here.
func TestEveryTypeIsKnown(t *testing.T) {
	for _, kind := range []v1alpha1.OperationType{
		v1alpha1.OperationRestart, v1alpha1.OperationReset, v1alpha1.OperationForceStop, v1alpha1.OperationSendKey,
		v1alpha1.OperationScreenshot, v1alpha1.OperationSetPassword, v1alpha1.OperationInjectSSHKey, v1alpha1.OperationMeasure,
	} {
		if !plan.KnowsOperation(kind) || eventsOfOperations[kind] == "" {
			t.Errorf("%s", kind)
		}
	}
}

func TestOperationsOfADeletedObjectAreForgotten(t *testing.T) {
	s := works(t, vmtest.Bound())
	s.host.deaf = true
	s.ask(vmtest.Operation(v1alpha1.OperationRestart))
	s.operate()
	if err := s.api.Delete(context.Background(), s.operation("op"), client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	s.operate()
	s.mustTurn()
	if len(s.host.done) != 0 || len(s.agent.operations.progress) != 0 {
		t.Errorf("%v, %v", s.host.done, s.agent.operations.progress)
	}
}
