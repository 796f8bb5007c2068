package virtctl

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

func TestOperationsAreFollowedToTheirEnd(t *testing.T) {
	for verb, test := range map[string]struct {
		kind v1alpha1.OperationType
		says string
	}{
		"restart": {v1alpha1.OperationRestart, "restarted"},
		"reset":   {v1alpha1.OperationReset, "reset"},
	} {
		t.Run(verb, func(t *testing.T) {
			w := newWorld(t)
			w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
			r := w.virtctl(verb, "web", "--wait=false")
			r.prints(t, "virtualmachineoperation/"+w.operations()[0].Name+" created\n")
		})
		t.Run(verb+" and wait", func(t *testing.T) {
			w := newWorld(t)
			w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
			w.answers(func(*v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
				return v1alpha1.VirtualMachineOperationStatus{Message: "in 3 s"}
			})
			w.virtctl(verb, "web", "--timeout=90s").prints(t, "virtualmachine/web "+test.says+" (in 3 s)\n")
			op := w.operations()[0]
			if op.Spec.Type != test.kind || *op.Spec.TimeoutSeconds != 90 || !strings.HasPrefix(op.Name, "web-"+verb+"-") {
				t.Errorf("%+v", op)
			}
		})
	}
}

func TestAFailedOperationHasTheCodeOfItsReason(t *testing.T) {
	for reason, code := range map[string]failure.Code{
		v1alpha1.ReasonWrongState: failure.Denied, v1alpha1.ReasonOperationRefused: failure.Denied, v1alpha1.ReasonAgentUnavailable: failure.Denied,
		v1alpha1.ReasonTimedOut: failure.Late, v1alpha1.ReasonVMNotFound: failure.Missing, v1alpha1.ReasonHostUnreachable: failure.General,
	} {
		w := newWorld(t)
		w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
		w.answers(failing(reason, "as the host says"))
		w.virtctl("reset", "web").fails(t, code, reason, "as the host says")
	}
}

func TestSeveralOperationsEndEachForItself(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.vm(name, v1alpha1.PowerRunning, v1alpha1.HostRunning)
	}
	w.answers(func(op *v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		if op.Spec.VirtualMachineName == "b" {
			return failing(v1alpha1.ReasonWrongState, "it is paused")(op)
		}
		return v1alpha1.VirtualMachineOperationStatus{}
	})
	r := w.virtctl("reset", "--all")
	r.fails(t, failure.Denied, `Reset of virtualmachine "b" failed: WrongState: it is paused`)
	for _, want := range []string{"virtualmachine/a reset\n", "virtualmachine/c reset\n"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q lacks %q", r.out, want)
		}
	}
}

func TestAnOperationThatNobodyTakesUp(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	begun := time.Now()
	w.virtctl("reset", "web", "--timeout=1s").fails(t, failure.Late, "waits to be taken up by vm-scheduler", "is vm-scheduler running?")
	if took := time.Since(begun); took < 10*time.Second {
		t.Errorf("gave up after %s: the cluster was given no time to say why", took)
	}
}

func TestAnOperationThatIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.soon(func() bool { return len(w.operations()) == 1 }, func() {
		op := w.operations()[0]
		if err := suite.client.Delete(t.Context(), &op); err != nil {
			t.Error(err)
		}
	})
	w.virtctl("reset", "web").fails(t, failure.General, "has been deleted before it was over")
}

func TestScreenshot(t *testing.T) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.answers(func(*v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		return v1alpha1.VirtualMachineOperationStatus{Screenshot: &v1alpha1.Screenshot{PNG: picture.Bytes(), Width: 3, Height: 2}}
	})
	t.Chdir(t.TempDir())
	w.virtctl("screenshot", "web").prints(t, "virtualmachine/web pictured in web.png (3x2)\n")
	other := filepath.Join(t.TempDir(), "other.png")
	w.virtctl("screenshot", "web", "-f", other).prints(t, "virtualmachine/web pictured in "+other+" (3x2)\n")
	for _, path := range []string{"web.png", other} {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, picture.Bytes()) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
	w.virtctl("screenshot", "web", "-f", "-").prints(t, picture.String())
	for _, op := range w.operations() {
		if *op.Spec.TTLSecondsAfterFinished != 60 {
			t.Errorf("is kept for %d s", *op.Spec.TTLSecondsAfterFinished)
		}
	}
}

func TestPasswordAndKeys(t *testing.T) {
	const (
		hash = "$6$salt$abc"
		key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXGyyhaGks8O8JhIW1ISArHG5YDyfltC+DtOjMW/og8 ada"
	)
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.succeeds()
	w.virtctlAs(suite.kubeconfig, hash+"\n", "password", "web", "--guest-user=admin", "--hash=-").prints(t, "virtualmachine/web has a new password for admin\n")
	w.virtctl("password", "web", "--hash="+hash).prints(t, "virtualmachine/web has a new password for root\n")
	w.virtctlAs(suite.kubeconfig, key+"\n", "ssh-key", "web", "-f", "-").
		prints(t, "virtualmachine/web lets in as root: SHA256:GHyuOFw3r/gDMHtmVXLotV/vveg/kMBcQRZVO/fDlyM ada\n")
	var passwords []v1alpha1.SetPassword
	for _, op := range w.operations() {
		if op.Spec.SetPassword != nil {
			passwords = append(passwords, *op.Spec.SetPassword)
			if *op.Spec.TTLSecondsAfterFinished != 60 {
				t.Errorf("a hash is kept for %d s", *op.Spec.TTLSecondsAfterFinished)
			}
		}
		if keys := op.Spec.InjectSSHKey; keys != nil {
			if diff := cmp.Diff(&v1alpha1.InjectSSHKey{User: "root", AuthorizedKeys: []string{key}}, keys); diff != "" {
				t.Error(diff)
			}
		}
	}
	if len(passwords) != 2 || passwords[0].Hash != hash || passwords[1].Hash != hash || passwords[0].User == passwords[1].User {
		t.Errorf("%+v", passwords)
	}
}

func TestKeysArePressedOneAfterTheOther(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	var pressed []string
	w.answers(func(op *v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		pressed = append(pressed, strings.Join(op.Spec.SendKey.Keys, "+"))
		if ptr.Deref(op.Spec.SendKey.HoldMilliseconds, 0) != 250 {
			t.Errorf("held for %v ms", op.Spec.SendKey.HoldMilliseconds)
		}
		return v1alpha1.VirtualMachineOperationStatus{}
	})
	w.virtctl("send-key", "web", "ctrl-alt-delete", "esc", "--hold=250ms").prints(t, "virtualmachine/web got ctrl-alt-delete\nvirtualmachine/web got esc\n")
	if diff := cmp.Diff([]string{"KEY_LEFTCTRL+KEY_LEFTALT+KEY_DELETE", "KEY_ESC"}, pressed); diff != "" {
		t.Error(diff)
	}
}

func TestTop(t *testing.T) {
	w := newWorld(t)
	use := map[string]int64{"top-a": 100, "top-b": 1500, "top-c": 20}
	for _, name := range []string{"top-a", "top-b", "top-c"} {
		w.vm(name, v1alpha1.PowerRunning, v1alpha1.HostRunning)
	}
	w.vm("off", v1alpha1.PowerStopped, v1alpha1.HostStopped)
	w.answers(func(op *v1alpha1.VirtualMachineOperation) v1alpha1.VirtualMachineOperationStatus {
		cpu, known := use[op.Spec.VirtualMachineName]
		if !known {
			return failing(v1alpha1.ReasonWrongState, "it has no guest")(op)
		}
		return v1alpha1.VirtualMachineOperationStatus{Usage: &v1alpha1.Usage{CPUMillis: cpu, Memory: 512 << 20}}
	})
	w.virtctl("top", "--sort-by=cpu").prints(t, `NAME    HOST     CPU     CPU%   MEMORY   GUEST-USED   READ/S   WRITTEN/S   RECEIVED/S   SENT/S
top-b   host-1   1500m   75%    512Mi    -            0        0           0            0
top-a   host-1   100m    5%     512Mi    -            0        0           0            0
top-c   host-1   20m     1%     512Mi    -            0        0           0            0
`)
	w.vm("top-z", v1alpha1.PowerRunning, v1alpha1.HostRunning) // which cannot be measured
	all := w.virtctl("top")
	if all.err != nil || !strings.Contains(all.out, "top-z   host-1   -       -      -        -            -        -           -            -\n") ||
		all.errOut != "Not measured: top-z: it has no guest\n" {
		t.Errorf("%+v", all)
	}
	r := w.virtctl("top", "top-c", "off", "none")
	if !strings.Contains(r.out, "top-c   host-1   20m") || r.code != failure.General {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{`no virtualmachine "none"`, `Measure of virtualmachine "off" failed: WrongState: it has no guest`} {
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("%v lacks %q", r.err, want)
		}
	}
	r = w.virtctl("top", "-A", "-l", "app=top-b")
	if r.err != nil || !regexp.MustCompile(`(?m)^NAMESPACE +NAME .*\n`+w.namespace+` +top-b +host-1`).MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	for _, op := range w.operations() {
		if op.Spec.Type != v1alpha1.OperationMeasure || *op.Spec.TTLSecondsAfterFinished != 60 {
			t.Errorf("%+v", op.Spec)
		}
	}
}
