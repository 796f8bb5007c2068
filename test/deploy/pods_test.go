package deploy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podAddress is what every pod is told to have: in its own namespace it has none.
const podAddress = "192.0.2.7"

// credentials is where programs in pods look for who they are.
const credentials = "/var/run/secrets/kubernetes.io/serviceaccount"

// pod is one that is played: an object of the API server's, and a process.
type pod struct {
	*corev1.Pod
	space *space
	cmd   *exec.Cmd
	log   string
	done  chan struct{}
	once  sync.Once
}

// play makes a pod of a workload's template on a node, and runs its container.
func (p *plane) play(t *testing.T, template corev1.PodTemplateSpec, name, node string) *pod {
	t.Helper()
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: system, Labels: template.Labels, Annotations: template.Annotations,
	}, Spec: *template.Spec.DeepCopy()}
	object.Spec.NodeName = node
	// It is admitted as the namespace's level of pod security says.
	if err := p.client.Create(t.Context(), object, client.FieldValidation("Strict")); err != nil {
		t.Fatalf("making pod %s: %v", name, err)
	}
	dir, err := os.MkdirTemp(scratch, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	played := &pod{Pod: object, space: newSpace(t), log: filepath.Join(dir, "log"), done: make(chan struct{})}
	address, port := p.address(t)
	played.space.reach(t, port, address)

	c := object.Spec.Containers[0]
	env := map[string]string{"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": fmt.Sprint(port)}
	for _, e := range c.Env {
		switch {
		case e.ValueFrom == nil:
			env[e.Name] = e.Value
		case e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "spec.nodeName":
			env[e.Name] = node
		case e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "status.podIP":
			env[e.Name] = podAddress
		default:
			t.Fatalf("%s is from where no test knows: %+v", e.Name, e.ValueFrom)
		}
	}
	var variables []string
	args := append([]string{}, c.Args...)
	for k, v := range env {
		variables = append(variables, k+"="+v)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "$("+k+")", v)
		}
	}
	i := imageOf(t, strings.TrimSuffix(filepath.Base(c.Image), ":dev"))
	described, err := describe(i, c, object.Spec.SecurityContext, variables, args, p.mounts(t, dir, object, i))
	if err != nil {
		t.Fatal(err)
	}
	described.Hostname = name
	log, err := os.Create(played.log)
	if err != nil {
		t.Fatal(err)
	}
	if played.cmd, err = described.start(played.space, log); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = played.cmd.Wait()
		_ = log.Close()
		close(played.done)
	}()
	t.Cleanup(func() {
		played.kill()
		if t.Failed() {
			t.Logf("the log of %s ends with:\n%s", name, played.tail(3000))
		}
	})
	return played
}

// mounts makes what is mounted: of the API server's objects as they are, and of the
// host's folders stand-ins.
func (p *plane) mounts(t *testing.T, dir string, object *corev1.Pod, i *image) []mount {
	t.Helper()
	var all []mount
	add := func(source, target string, readOnly bool) {
		// A container runtime makes places to mount at.
		if err := os.MkdirAll(filepath.Join(i.root, target), 0o755); err != nil {
			t.Fatal(err)
		}
		all = append(all, mount{Source: source, Target: target, ReadOnly: readOnly})
	}
	for _, m := range object.Spec.Containers[0].VolumeMounts {
		source := filepath.Join(dir, "volumes", m.Name)
		if err := os.MkdirAll(source, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, v := range object.Spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			switch {
			case v.ConfigMap != nil:
				config, err := p.clientset.CoreV1().ConfigMaps(system).Get(t.Context(), v.ConfigMap.Name, metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for name, text := range config.Data {
					write(t, filepath.Join(source, name), text)
				}
			case v.EmptyDir != nil:
				if err := os.Chmod(source, 0o777); err != nil {
					t.Fatal(err)
				}
			case v.HostPath != nil:
			default:
				t.Fatalf("volume %s is of a kind that no test knows", v.Name)
			}
		}
		add(source, m.MountPath, m.ReadOnly)
	}
	identity := filepath.Join(dir, "identity")
	if err := os.MkdirAll(identity, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(identity, "token"), p.token(t, object))
	write(t, filepath.Join(identity, "ca.crt"), string(p.config.CAData))
	write(t, filepath.Join(identity, "namespace"), system)
	// /var/run is a link, which leads out of the root where it is followed from outside.
	add(identity, strings.Replace(credentials, "/var/run", "/run", 1), true)
	return all
}

// token is one as the kubelet asks for it: bound to the pod, and so to its node.
func (p *plane) token(t *testing.T, object *corev1.Pod) string {
	t.Helper()
	hour := int64(3607)
	request, err := p.clientset.CoreV1().ServiceAccounts(system).CreateToken(t.Context(), object.Spec.ServiceAccountName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &hour,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: object.Name, UID: object.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// kill ends the process as a crash of the node would.
func (o *pod) kill() {
	o.once.Do(func() {
		_ = o.cmd.Process.Signal(syscall.SIGKILL)
		<-o.done
	})
}

func (o *pod) tail(n int) string {
	data, _ := os.ReadFile(o.log)
	return string(data[max(0, len(data)-n):])
}

func (o *pod) ended() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// port is a container's port, by number or name.
func (o *pod) port(t *testing.T, port intstr.IntOrString) int {
	t.Helper()
	if port.Type == intstr.Int {
		return port.IntValue()
	}
	for _, p := range o.Spec.Containers[0].Ports {
		if p.Name == port.StrVal {
			return int(p.ContainerPort)
		}
	}
	t.Fatalf("%s has no port %q", o.Name, port.StrVal)
	return 0
}

// probe asks as the kubelet does.
func (o *pod) probe(t *testing.T, probe *corev1.Probe) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(max(1, probe.TimeoutSeconds))*time.Second)
	defer cancel()
	if s := probe.TCPSocket; s != nil {
		conn, err := o.space.dial(ctx, o.port(t, s.Port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	get := probe.HTTPGet
	_, err := o.get(ctx, strings.ToLower(string(get.Scheme)), o.port(t, get.Port), get.Path, "")
	return err
}

// get reads a page of the pod's.
func (o *pod) get(ctx context.Context, scheme string, port int, path, token string) (string, error) {
	caller := &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return o.space.dial(ctx, port) },
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, port, path), nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := caller.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 400 {
		err = fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(body))
	}
	return string(body), err
}

// ready waits until the pod's probes are content, in the order in which the kubelet
// asks.
func (p *plane) ready(t *testing.T, o *pod) {
	t.Helper()
	c := o.Spec.Containers[0]
	for what, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if probe == nil {
			continue
		}
		p.until(t, o.Name+" passes its probe of "+what, func() (string, bool) {
			if o.ended() {
				t.Fatalf("%s has ended (%s):\n%s", o.Name, o.cmd.ProcessState, o.tail(3000))
			}
			err := o.probe(t, probe)
			return fmt.Sprint(err), err == nil
		})
	}
}
