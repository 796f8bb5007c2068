package virtctl

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

func TestGet(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.vm("off", v1alpha1.PowerStopped, "")
	for name, test := range map[string]struct {
		args    []string
		want    []string
		without string
	}{
		"a table":        {args: []string{"get"}, want: []string{"NAME", "PHASE", "HOST", "web    Running   host-1   2     1Gi", "off"}, without: "NAMESPACE"},
		"one":            {args: []string{"get", "web"}, want: []string{"web "}, without: "off"},
		"wide":           {args: []string{"get", "-o", "wide"}, want: []string{"MESSAGE"}},
		"by label":       {args: []string{"get", "-l", "app=off"}, want: []string{"off "}, without: "web"},
		"by field":       {args: []string{"get", "--field-selector", "status.placement.nodeName=host-1", "--no-headers"}, want: []string{"web "}, without: "off"},
		"all namespaces": {args: []string{"get", "-A"}, want: []string{"NAMESPACE", w.namespace}},
		"names":          {args: []string{"get", "-o", "name"}, want: []string{"virtualmachine.domus.dev/off\nvirtualmachine.domus.dev/web\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.virtctl(test.args...)
			if r.err != nil || test.without != "" && strings.Contains(r.out, test.without) {
				t.Errorf("%+v", r)
			}
			for _, want := range test.want {
				if !strings.Contains(r.out, want) {
					t.Errorf("%q lacks %q", r.out, want)
				}
			}
		})
	}
	vm := &v1alpha1.VirtualMachine{}
	if r := w.virtctl("get", "web", "-o", "json"); r.err != nil || json.Unmarshal([]byte(r.out), vm) != nil || vm.Status.Placement.NodeName != "host-1" {
		t.Errorf("%+v", r)
	}
	list := &v1alpha1.VirtualMachineList{}
	if r := w.virtctl("get", "-o", "yaml"); r.err != nil || yaml.Unmarshal([]byte(r.out), list) != nil || len(list.Items) != 2 {
		t.Errorf("%+v", r)
	}
	w.virtctl("get", "none").fails(t, failure.Missing, "`virtctl get -A`")
	if r := w.virtctl("get", "-l", "app=none"); r.err != nil || !strings.Contains(r.errOut, "No resources found") {
		t.Errorf("%+v", r)
	}
}

func TestDescribe(t *testing.T) {
	w := newWorld(t)
	vm := w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	w.vm("other", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "web-"},
		InvolvedObject: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "VirtualMachine", Namespace: w.namespace, Name: "web", UID: vm.UID},
		Type:           "Normal", Reason: "Started", Message: "the guest runs", LastTimestamp: metav1.Now(), Source: corev1.EventSource{Component: "vm-executor"},
	}
	if err := suite.client.Create(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "other"} {
		if r := w.virtctl("reset", name, "--wait=false"); r.err != nil {
			t.Fatal(r.err)
		}
	}
	r := w.virtctl("describe", "web")
	for _, want := range []string{
		"virtualmachine/web\n", "Host:           host-1\n", "Granted:        2 CPUs, 1Gi\n", "Asked to be:    Running (runPolicy Always, whenStopped Hold)\n",
		"Reset   Pending", "waits to be taken up by vm-scheduler", "Normal   Started   vm-executor   the guest runs\n",
	} {
		if r.err != nil || !strings.Contains(r.out, want) {
			t.Errorf("%v, lacks %q:\n%s", r.err, want, r.out)
		}
	}
	if strings.Contains(r.out, "other-reset") {
		t.Errorf("tells another VM's operations:\n%s", r.out)
	}
	w.virtctl("describe", "none").fails(t, failure.Missing)
	if r := w.virtctl("describe", "--all"); r.err != nil || strings.Count(r.out, "\nPlacement\n") != 2 {
		t.Errorf("%+v", r)
	}
}

// The program, as kubectl finds it: its exit codes, its texts and its completion.
func TestTheProgram(t *testing.T) {
	w := newWorld(t)
	w.vm("web", v1alpha1.PowerRunning, v1alpha1.HostRunning)
	plugin, err := built(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(path string, args ...string) (int, string, string) {
		var out, errOut strings.Builder
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Stdout, cmd.Stderr = &out, &errOut
		cmd.Env = append(os.Environ(), "KUBECONFIG="+suite.kubeconfig)
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
	}
	for line, want := range map[string]struct {
		code   int
		errOut string
	}{
		"wait web --for=running":              {0, ""},
		"start":                               {2, "kubectl vm: name VMs (see `kubectl vm get -n " + w.namespace + "`)"},
		"start none other":                    {3, "kubectl vm: there is no virtualmachine \"other\""},
		"wait web --for=deleted --timeout=1s": {4, "kubectl vm: virtualmachine \"web\" is not deleted after 1s"},
		"resume web --context=none":           {1, "kubectl vm: "},
		"wait web --for=paused":               {5, "`kubectl vm pause -n " + w.namespace + " web`"},
		"get none web other":                  {3, "kubectl vm: there is no virtualmachine \"none\" in namespace \"" + w.namespace + "\": see `kubectl vm get -A`\nkubectl vm: there is no virtualmachine \"other\""},
	} {
		code, _, errOut := run(plugin, append(strings.Fields(line), "-n", w.namespace)...)
		if code != want.code || !strings.Contains(errOut, want.errOut) || code == 0 && errOut != "" {
			t.Errorf("%s: code %d, %q; want %d, %q", line, code, errOut, want.code, want.errOut)
		}
	}

	completer := filepath.Join(filepath.Dir(plugin), "kubectl_complete-vm")
	if err := os.Symlink(filepath.Base(plugin), completer); err != nil {
		t.Fatal(err)
	}
	code, out, _ := run(completer, "stop", "-n", w.namespace, "")
	if code != 0 || out != "web\tRunning on host-1\n:4\n" {
		t.Errorf("code %d, %q", code, out)
	}
	if code, out, _ := run(completer, "stop", "-n", ""); code != 0 || !strings.Contains(out, w.namespace+"\n") {
		t.Errorf("namespaces: code %d, %q", code, out)
	}

	t.Run("watches", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), plugin, "get", "-w", "-n", w.namespace)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+suite.kubeconfig)
		cmd.WaitDelay = eventually
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := make(chan string, 16)
		go func() {
			defer close(lines)
			for s := bufio.NewScanner(pipe); s.Scan(); {
				lines <- s.Text()
			}
		}()
		expect := func(want string) {
			t.Helper()
			for timeout := time.After(eventually); ; {
				select {
				case line, open := <-lines:
					if !open {
						t.Fatalf("ended before %q", want)
					}
					if strings.Contains(line, want) {
						return
					}
				case <-timeout:
					t.Fatalf("%q has not come", want)
				}
			}
		}
		expect("Running")
		w.says("web", v1alpha1.HostPaused)
		expect("Paused")
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("interrupted: %v", err)
		}
	})
}
