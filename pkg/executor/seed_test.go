package executor

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// hush is in what must not be shown.
const hush = "hush-hush"

func userData(text string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "told"}, Data: map[string][]byte{"userdata": []byte(text)}}
}

func fromSecret(vm *v1alpha1.VirtualMachine) {
	vm.Spec.CloudInit = &v1alpha1.CloudInit{Hostname: "web", UserDataFrom: &v1alpha1.CloudInitSource{SecretRef: v1alpha1.SecretEntry{Name: "told", Key: "userdata"}}}
}

// seedStage is a stage whose host has somewhere to keep seeds.
func seedStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	s := newStage(t, objects...)
	s.config.SeedDir = t.TempDir()
	s.restart()
	s.agent.grantWait = time.Second
	return s
}

// told is the file of the VM's seed; "" when there is no seed.
func (s *stage) toldTo(file string) string {
	s.t.Helper()
	if !exists(s.agent.seeds.path(vmtest.UID)) {
		return ""
	}
	return mustRead(s.t, s.agent.seeds)[file]
}

// setSecret changes the Secret as its owner does.
func (s *stage) setSecret(text string) {
	s.t.Helper()
	if err := s.api.Update(context.Background(), userData(text)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) restartGuest() {
	s.t.Helper()
	for _, state := range []v1alpha1.PowerState{v1alpha1.PowerStopped, v1alpha1.PowerRunning} {
		s.edit(vmtest.Shall(state))
		s.mustTurn()
		s.mustTurn()
	}
}

func TestAGuestIsStartedWithItsSeed(t *testing.T) {
	s := seedStage(t, scheduled(fromSecret), userData("#cloud-config\nfirst: "+hush))
	s.mustTurn()
	if diff := cmp.Diff([]string{"patch *v1alpha1.VirtualMachine", "patch *v1alpha1.VirtualMachine status"}, s.writes); diff != "" {
		t.Errorf("writes: %s", diff)
	}
	if got := s.toldTo("user-data"); got != "#cloud-config\nfirst: "+hush {
		t.Errorf("it is told %q", got)
	}
	if !strings.Contains(s.toldTo("meta-data"), `"local-hostname":"web"`) {
		t.Errorf("its meta-data are %s", s.toldTo("meta-data"))
	}
	if path := s.agent.seeds.path(vmtest.UID); !strings.Contains(s.host.documents[0], path) {
		t.Errorf("the domain has no %s: %s", path, s.host.documents[0])
	}

	// A Secret that changes is noticed after a while, and told at the next start.
	s.setSecret("#cloud-config\nsecond: " + hush)
	again, err := s.agent.turn(t.Context(), guestKey)
	if err != nil {
		t.Fatal(err)
	}
	if again == 0 || again > seedLook {
		t.Errorf("it is looked at again after %s", again)
	}
	if c := s.restartRequired(); c != nil {
		t.Fatalf("it was looked at at once: %+v", c)
	}
	s.clock.Step(seedLook)
	s.mustTurn()
	const want = "spec.cloudInit (a Secret that it names has changed) takes effect at the next start"
	if c := s.restartRequired(); c == nil || c.Message != want {
		t.Fatalf("got %+v, want %s", c, want)
	}
	if got := s.toldTo("user-data"); !strings.Contains(got, "first") {
		t.Errorf("a running guest's seed was changed: %s", got)
	}
	// The executor is started again meanwhile, and while the Secret cannot be had
	// what was known stands.
	s.restart()
	s.mustTurn()
	if c := s.restartRequired(); c == nil {
		t.Error("a new executor does not know")
	}
	if err := s.api.Delete(t.Context(), userData("")); err != nil {
		t.Fatal(err)
	}
	s.clock.Step(seedLook)
	s.mustTurn()
	if c := s.restartRequired(); c == nil {
		t.Error("it was forgotten")
	}
	if err := s.api.Create(t.Context(), userData("#cloud-config\nsecond: "+hush)); err != nil {
		t.Fatal(err)
	}
	s.restartGuest()
	if got := s.toldTo("user-data"); !strings.Contains(got, "second") {
		t.Errorf("it is told %q", got)
	}
	if c := s.restartRequired(); c != nil {
		t.Errorf("%+v", c)
	}

	// One that has none any more.
	s.edited(func(spec *v1alpha1.VirtualMachineSpec) { spec.CloudInit = nil })
	s.mustTurn()
	if c := s.restartRequired(); c == nil || !strings.HasPrefix(c.Message, "spec.cloudInit") {
		t.Errorf("%+v", c)
	}
	s.restartGuest()
	if got := s.toldTo("meta-data"); got != "" || strings.Contains(s.host.documents[len(s.host.documents)-1], "cdrom") {
		t.Errorf("it is told %q", got)
	}
}

func TestASeedGoesWithItsVM(t *testing.T) {
	for name, end := range map[string]func(*stage){
		"deleted": func(s *stage) {
			if err := s.api.Delete(context.Background(), s.vm()); err != nil {
				s.t.Fatal(err)
			}
		},
		"given back": func(s *stage) { s.edit(func(vm *v1alpha1.VirtualMachine) { vmtest.Switched(vm); vmtest.Releases(vm) }) },
		"evicted":    func(s *stage) { s.edit(vmtest.Evicted) },
	} {
		t.Run(name, func(t *testing.T) {
			s := seedStage(t, scheduled(fromSecret), userData("#!"+hush))
			s.mustTurn()
			if s.toldTo("user-data") == "" {
				t.Fatal("there is no seed")
			}
			end(s)
			s.mustTurn()
			s.mustTurn()
			if len(s.host.domains) != 0 || s.toldTo("meta-data") != "" {
				t.Errorf("left are %v and %q", s.host.domains, s.toldTo("meta-data"))
			}
		})
	}
}

func TestSeedsOfNobodyAreRemovedAtStart(t *testing.T) {
	s := seedStage(t, scheduled(fromSecret), userData("#!"+hush))
	s.mustTurn()
	if err := s.agent.seeds.write(strangerUID, seedOf(hush), nil); err != nil {
		t.Fatal(err)
	}
	s.restart()
	if _, err := os.Stat(s.agent.seeds.path(strangerUID)); err == nil {
		t.Error("the seed of a VM that is gone is still there")
	}
	if s.toldTo("user-data") == "" {
		t.Error("the seed of one that is there is not")
	}
}

func TestASeedThatCannotBeMadeIsSaidAndTriedAgain(t *testing.T) {
	forbidden := apierrors.NewForbidden(corev1.Resource("secrets"), "told", fmt.Errorf("not yours"))
	for name, test := range map[string]struct {
		secret *corev1.Secret
		err    error
		want   string
		mend   func(*stage)
	}{
		"there is no such Secret": {nil, nil, `spec.cloudInit.userDataFrom: reading Secret told: secrets "told" not found: create it, or name another; it is tried again`,
			func(s *stage) { _ = s.api.Create(context.Background(), userData("#!")) }},
		"it has no such entry": {&corev1.Secret{ObjectMeta: userData("").ObjectMeta, Data: map[string][]byte{"other": []byte(hush)}}, nil,
			"spec.cloudInit.userDataFrom: entry userdata of Secret told: there is no such entry: add it, or name another; it is tried again",
			func(s *stage) { s.setSecret("#!") }},
		"its content is nothing for cloud-init": {userData(hush), nil, "spec.cloudInit.userDataFrom: entry userdata of Secret told: must begin with a header that cloud-init knows", func(s *stage) { s.setSecret("#!") }},
		"this host may not read it":             {userData("#!" + hush), forbidden, "host-a may not read the Secrets that spec.cloudInit names (told), and tries again", func(s *stage) {}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{scheduled(fromSecret)}
			if test.secret != nil {
				objects = append(objects, test.secret)
			}
			s := seedStage(t, objects...)
			refuse := test.err
			s.agent.live = interceptor.NewClient(s.api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, secret := o.(*corev1.Secret); secret && refuse != nil {
					return refuse
				}
				return c.Get(ctx, key, o, opts...)
			}})
			s.mustTurn()
			h := s.said()
			if h == nil || h.State != v1alpha1.HostFailed || h.Reason != v1alpha1.ReasonSeedUnavailable || !strings.HasPrefix(h.Message, test.want) || strings.Contains(h.Message, hush) {
				t.Fatalf("got %+v", h)
			}
			if len(s.host.done) != 0 || s.toldTo("meta-data") != "" {
				t.Errorf("on the host: %v", s.host.done)
			}
			test.mend(s)
			refuse = nil
			s.clock.Step(plan.FirstBackoff)
			s.mustTurn()
			if h := s.said(); h.State != v1alpha1.HostRunning {
				t.Errorf("got %+v", h)
			}
		})
	}
}

func TestAStartWaitsALittleForPermission(t *testing.T) {
	s := seedStage(t, scheduled(fromSecret), userData("#!"))
	asked := 0
	s.agent.live = interceptor.NewClient(s.api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, secret := o.(*corev1.Secret); secret {
			if asked++; asked < 3 {
				return apierrors.NewForbidden(corev1.Resource("secrets"), "told", nil)
			}
		}
		return c.Get(ctx, key, o, opts...)
	}})
	s.agent.grantWait = grantWait
	s.mustTurn()
	if h := s.said(); h.State != v1alpha1.HostRunning || asked != 3 {
		t.Errorf("asked %d times: %+v", asked, h)
	}
}

// TestNothingOfASeedIsShown: not in a domain's document, in logs, events, status
// or errors, whatever goes wrong.
func TestNothingOfASeedIsShown(t *testing.T) {
	var logs bytes.Buffer
	flags := flag.NewFlagSet("", flag.PanicOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "v": "10"} {
		if err := flags.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	klog.SetOutput(&logs)
	t.Cleanup(func() {
		klog.SetOutput(os.Stderr)
		_ = flags.Set("logtostderr", "true")
		_ = flags.Set("v", "0")
	})

	all := func(vm *v1alpha1.VirtualMachine) {
		fromSecret(vm)
		vm.Spec.CloudInit.NetworkDataFrom = &v1alpha1.CloudInitSource{SecretRef: v1alpha1.SecretEntry{Name: "told", Key: "network"}}
		vm.Spec.CloudInit.SSHAuthorizedKeysFrom = []v1alpha1.CloudInitSource{{SecretRef: v1alpha1.SecretEntry{Name: "told", Key: "keys"}}}
	}
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDkC5tjIvEHl5E3cRkmKyHo5q1vGRfTjXCRxNAuTuk2w " + hush
	secret := userData("#cloud-config\npassword: " + hush)
	secret.Data["network"], secret.Data["keys"] = []byte("{version: 2, x: "+hush+"}"), []byte(key)
	s := seedStage(t, scheduled(all), secret)
	var said []string
	turn := func() {
		if err := s.turn(); err != nil {
			said = append(said, err.Error())
		}
		s.clock.Step(10 * time.Minute)
		if err := s.turn(); err != nil {
			said = append(said, err.Error())
		}
	}
	put := func(key, value string) {
		secret.Data[key] = []byte(value)
		if err := s.api.Update(context.Background(), secret.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		turn()
		s.edit(vmtest.Switched)
		turn()
		s.edit(vmtest.Shall(v1alpha1.PowerRunning))
		turn()
	}
	secret.ResourceVersion = ""
	turn()
	if s.said().State != v1alpha1.HostRunning || !strings.Contains(s.toldTo("user-data"), hush) || !strings.Contains(s.toldTo("meta-data"), hush) {
		t.Fatalf("%+v", s.said())
	}
	put("userdata", hush)
	put("userdata", "#cloud-config\n"+hush+": [")
	put("userdata", "#!")
	put("network", hush)
	put("network", "{version: 1}")
	put("keys", hush)
	put("keys", key)
	s.host.defineErr = libvirt.ErrInvalidDomain
	put("keys", "")
	close(s.recorder.Events)
	for e := range s.recorder.Events {
		said = append(said, e)
	}
	klog.Flush()
	said = append(said, logs.String(), fmt.Sprintf("%+v", s.vm().Status))
	said = append(said, s.host.documents...)
	if logs.Len() == 0 || len(s.host.documents) == 0 {
		t.Fatal("nothing was said at all")
	}
	for _, text := range said {
		if at := strings.Index(text, hush); at >= 0 {
			t.Errorf("it is shown: %s", text[max(0, at-200):min(len(text), at+50)])
		}
	}
}
