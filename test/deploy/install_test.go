package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// hosts are as many as the demo's VMs need.
const hosts = 8

// simulated is the configuration of hosts on which no guest really runs, as the demo's
// are.
const simulated = `{"hosts":[{"mode":"dedicated","transfer":{"bindAddress":":8445"},
 "devices":[{"name":"gpu","vendor":"10de","product":"20b0"},{"name":"vf","vendor":"8086","product":"1889"}],
 "simulated":{"cpus":64,"memory":"256Gi","cpuModels":["EPYC","EPYC-Rome","EPYC-Milan"],"cpuFeatures":["aes","avx","avx2","sse4.2"],"firmware":["bios","efi"],"secureBoot":true,
  "cells":[
   {"id":0,"cpus":"0-31","memory":"128Gi","hugepages2Mi":8192,"hugepages1Gi":16,"distances":[{"cell":1,"distance":20}]},
   {"id":1,"cpus":"32-63","memory":"128Gi","hugepages2Mi":8192,"hugepages1Gi":16,"distances":[{"cell":0,"distance":20}]}],
  "devices":[
   {"address":"0000:41:00.0","vendor":"10de","product":"20b0","cell":0},{"address":"0000:61:00.0","vendor":"10de","product":"20b0","cell":0},
   {"address":"0000:21:00.1","vendor":"8086","product":"1889","physicalFunction":"0000:21:00.0","cell":0},{"address":"0000:21:00.2","vendor":"8086","product":"1889","physicalFunction":"0000:21:00.0","cell":0},
   {"address":"0000:a1:00.1","vendor":"8086","product":"1889","physicalFunction":"0000:a1:00.0","cell":1},{"address":"0000:a1:00.2","vendor":"8086","product":"1889","physicalFunction":"0000:a1:00.0","cell":1}]}}],
 "healthBindAddress":":9411","metricsBindAddress":":9410","stateDir":"/tmp/state"}`

// TestInstallation applies what is shipped, plays its pods, and has VMs placed and run.
// The steps are of one cluster's life.
func TestInstallation(t *testing.T) {
	p := startPlane(t)
	p.apply(t, operatorKinds(t))
	if !t.Run("kustomize's objects are applied", func(t *testing.T) { p.apply(t, kustomize(t, "monitoring")) }) {
		return
	}
	var rendered []byte
	// The same owner applies them again, with hosts that are simulated.
	if !t.Run("Helm's objects are applied", func(t *testing.T) {
		rendered = helm(t, "--set", "executor.enabled=true", "--set", "monitoring.enabled=true", "--set-json", "executor.config="+simulated)
		p.apply(t, rendered)
	}) {
		return
	}
	all := objects(t, rendered)
	scheduler := as[appsv1.Deployment](t, only(t, all, "Deployment", "vm-scheduler"))
	executor := as[appsv1.DaemonSet](t, only(t, all, "DaemonSet", "vm-executor"))

	webhook := p.serve(t, "vm-scheduler-webhook", "webhook", 9443)
	var replicas, executors []*pod
	for i := range hosts {
		p.join(t, fmt.Sprintf("host-%d", i), []string{"zone-a", "zone-b", "zone-c"}[i%3])
	}
	for i := range int(*scheduler.Spec.Replicas) {
		replicas = append(replicas, p.play(t, scheduler.Spec.Template, fmt.Sprintf("vm-scheduler-%d", i), fmt.Sprintf("host-%d", i)))
	}
	for i := range hosts {
		node := fmt.Sprintf("host-%d", i)
		executors = append(executors, p.play(t, executor.Spec.Template, "vm-executor-"+node, node))
	}
	for _, o := range slices.Concat(replicas, executors) {
		p.ready(t, o)
	}
	webhook.set(replicas...)

	steps := []struct {
		name string
		run  func(t *testing.T)
	}{
		{"each executor reports its own host", func(t *testing.T) { p.hostsReport(t) }},
		{"the demo's VMs run", func(t *testing.T) { p.demoRuns(t) }},
		{"a token writes its own Node's objects", func(t *testing.T) { p.tokensAreBound(t, executors) }},
		{"metrics are for who may read them", func(t *testing.T) { p.metrics(t, replicas[0], executors[0]) }},
		{"what the demo has none of", func(t *testing.T) { p.more(t) }},
		{"the other replica takes over", func(t *testing.T) { p.failover(t, replicas, webhook) }},
		{"no right is missing, and none is for nothing", func(t *testing.T) { p.rights(t, all) }},
	}
	for _, step := range steps {
		if !t.Run(step.name, step.run) {
			return
		}
	}
}

func (p *plane) hostsReport(t *testing.T) {
	p.until(t, "all hosts are there", func() (string, bool) {
		list := &v1alpha1.HypervisorList{}
		if err := p.client.List(t.Context(), list); err != nil {
			return err.Error(), false
		}
		for _, h := range list.Items {
			if at := h.Status.Transfer; at == nil || at.Address != podAddress+":8445" {
				return fmt.Sprintf("%s exchanges volumes at %+v", h.Name, at), false
			}
		}
		return fmt.Sprintf("%d of %d", len(list.Items), hosts), len(list.Items) == hosts
	})
}

// demoRuns applies the demo's VMs but those that really boot.
func (p *plane) demoRuns(t *testing.T) {
	files, err := filepath.Glob(manifests + "/samples/demo/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(rank(a), rank(b)) })
	for _, file := range files {
		if filepath.Base(file) == "guests.yaml" {
			continue
		}
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p.apply(t, document)
	}
	p.running(t, "demo", 30)
}

// rank puts first what others need.
func rank(file string) string {
	switch name := filepath.Base(file); name {
	case "namespace.yaml", "priority.yaml":
		return "0" + name
	default:
		return "1" + name
	}
}

// running waits until as many VMs of the namespace run, each on a host.
func (p *plane) running(t *testing.T, namespace string, want int) {
	t.Helper()
	p.until(t, fmt.Sprintf("%d VMs of %s run", want, namespace), func() (string, bool) {
		list := &v1alpha1.VirtualMachineList{}
		if err := p.client.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			return err.Error(), false
		}
		run, waits := 0, []string{}
		for _, vm := range list.Items {
			if vm.Status.Phase == v1alpha1.PhaseRunning && vm.Status.Placement != nil {
				run++
			} else {
				waits = append(waits, fmt.Sprintf("%s %s: %s %s", vm.Name, vm.Status.Phase, vm.Status.Reason, vm.Status.Message))
			}
		}
		return fmt.Sprintf("%d run; %s", run, strings.Join(waits, "; ")), run >= want
	})
}

// bearer is a client with nothing but a token.
func (p *plane) bearer(t *testing.T, token string) client.Client {
	t.Helper()
	config := rest.AnonymousClientConfig(p.config)
	config.BearerToken = token
	c, err := client.New(config, client.Options{Scheme: p.client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tokensAreBound holds what a token may write against the node it is bound to.
func (p *plane) tokensAreBound(t *testing.T, executors []*pod) {
	own := p.bearer(t, p.token(t, executors[1].Pod))
	request, err := p.clientset.CoreV1().ServiceAccounts(system).CreateToken(t.Context(), "vm-executor", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unbound := p.bearer(t, request.Status.Token)
	node := &corev1.Node{}
	if err := p.client.Get(t.Context(), client.ObjectKey{Name: "host-1"}, node); err != nil {
		t.Fatal(err)
	}
	// One that was asked for by hand, for a Node, as without a pod.
	request, err = p.clientset.CoreV1().ServiceAccounts(system).CreateToken(t.Context(), "vm-executor", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	byNode := p.bearer(t, request.Status.Token)

	label := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"tried":"true"}}}`))
	annotate := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"tried":"true"}}}`))
	ofHost := func(kind client.Object, name string) client.Object { kind.SetName(name); return kind }
	patch := func(object client.Object, patch client.Patch) func(client.Client) error {
		return func(as client.Client) error { return as.Patch(t.Context(), object, patch) }
	}
	report := func(host string) func(client.Client) error {
		same := client.RawPatch("application/merge-patch+json", []byte(`{"status":{}}`))
		return func(as client.Client) error {
			return as.Status().Patch(t.Context(), ofHost(&v1alpha1.Hypervisor{}, host), same)
		}
	}
	renew := func(host string) func(client.Client) error {
		return func(as client.Client) error {
			lease := &coordinationv1.Lease{}
			if err := p.client.Get(t.Context(), client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: host}, lease); err != nil {
				return err
			}
			return as.Update(t.Context(), lease, client.DryRunAll)
		}
	}
	vmOn := func(host string) *v1alpha1.VirtualMachine {
		list := &v1alpha1.VirtualMachineList{}
		if err := p.client.List(t.Context(), list, client.InNamespace("demo")); err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			if list.Items[i].PlacedOn(host) {
				return &list.Items[i]
			}
		}
		t.Fatalf("no VM is on %s", host)
		return nil
	}
	anothers := "an executor may write the objects of its own host only: host-1"
	none := "this one has no host"
	for name, test := range map[string]struct {
		as    client.Client
		write func(client.Client) error
		want  string
	}{
		"its own Node":                      {own, patch(ofHost(&corev1.Node{}, "host-1"), label), ""},
		"its own Hypervisor":                {own, report("host-1"), ""},
		"its own Lease":                     {own, renew("host-1"), ""},
		"a VM of its own":                   {own, patch(vmOn("host-1"), annotate), ""},
		"its own Node, bound to the Node":   {byNode, patch(ofHost(&corev1.Node{}, "host-1"), label), ""},
		"another's Node":                    {own, patch(ofHost(&corev1.Node{}, "host-2"), label), anothers},
		"another's Node, bound to the Node": {byNode, patch(ofHost(&corev1.Node{}, "host-2"), label), anothers},
		"another's Hypervisor":              {own, report("host-2"), anothers},
		"another's Lease":                   {own, renew("host-2"), anothers},
		"another's VM":                      {own, patch(vmOn("host-2"), annotate), "bound to its own host only"},
		"a label of a VM of its own":        {own, patch(vmOn("host-1"), label), "may not change a VirtualMachine's labels"},
		"a Node, bound to nothing":          {unbound, patch(ofHost(&corev1.Node{}, "host-1"), label), none},
		"a VM, bound to nothing":            {unbound, patch(vmOn("host-1"), annotate), "bound to its own host only"},
	} {
		err := test.write(test.as)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v does not say %q", name, err, test.want)
		}
	}
	if err := own.Get(t.Context(), client.ObjectKey{Namespace: system, Name: "vm-scheduler-webhook"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Errorf("a Secret: %v", err)
	}
}

// metrics asks for pages as Prometheus does, and as who may not.
func (p *plane) metrics(t *testing.T, scheduler, executor *pod) {
	// As kube-prometheus installs it.
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "prometheus-k8s"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "other"}},
	} {
		if err := p.client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	token := func(name string) string {
		request, err := p.clientset.CoreV1().ServiceAccounts("monitoring").CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return request.Status.Token
	}
	may, mayNot := token("prometheus-k8s"), token("other")
	for _, page := range []struct {
		of   *pod
		port int
		want string
	}{{scheduler, 10259, "# TYPE domus_api_writes_in_flight"}, {executor, 9410, "# TYPE domus_"}} {
		p.until(t, page.of.Name+" tells Prometheus", func() (string, bool) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			body, err := page.of.get(ctx, "https", page.port, "/metrics", may)
			return fmt.Sprint(err, len(body)), err == nil && strings.Contains(body, page.want)
		})
		for who, token := range map[string]string{"nobody": "", "another service account": mayNot} {
			if _, err := page.of.get(t.Context(), "https", page.port, "/metrics", token); err == nil || !strings.Contains(err.Error(), "40") {
				t.Errorf("%s tells %s: %v", page.of.Name, who, err)
			}
		}
	}
}

// more has done what the demo's VMs need nothing of.
func (p *plane) more(t *testing.T) {
	for _, file := range []string{"testdata/more.yaml", "testdata/deeds.yaml"} {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p.apply(t, document)
		// Of four one waits: it names a Secret, which executors of one service account
		// are not granted.
		p.running(t, "more", 3)
	}
	p.until(t, "the leader lets the host read the Secret", func() (string, bool) {
		list := &rbacv1.RoleList{}
		err := p.client.List(t.Context(), list, client.InNamespace("more"))
		return fmt.Sprint(err), len(list.Items) == 1 && strings.HasPrefix(list.Items[0].Name, "domus:executor:host-")
	})
	p.until(t, "a snapshot that is due is given to the host of its VM", func() (string, bool) {
		list := &v1alpha1.VirtualMachineSnapshotList{}
		err := p.client.List(t.Context(), list, client.InNamespace("more"))
		said := ""
		for _, s := range list.Items {
			said += fmt.Sprintf("%s %s %s; ", s.Name, s.Status.Phase, s.Status.NodeName)
		}
		return fmt.Sprint(err, said), len(list.Items) > 0 && list.Items[0].Status.NodeName != ""
	})
	answer := run(t, []byte(`{"apiVersion":"domus.dev/v1alpha1","kind":"PlacementReview","metadata":{"name":"fit","namespace":"more"},"spec":{"question":"Fit","template":{"spec":{"resources":{"cpu":4,"memory":"8Gi"}}}}}`),
		kubectl(), "--kubeconfig", p.kubeconfig, "create", "--dry-run=server", "-o", "json", "-f", "-")
	var review struct{ Status map[string]any }
	if err := json.Unmarshal(answer, &review); err != nil || len(review.Status) == 0 {
		t.Errorf("%v: no answer in %s", err, answer)
	}
	// What ends gives back what it had.
	run(t, nil, kubectl(), "--kubeconfig", p.kubeconfig, "delete", "vm", "--all", "-n", "more", "--timeout=150s")
	run(t, nil, kubectl(), "--kubeconfig", p.kubeconfig, "delete", "vmsnapsched,vmsnap,vdisk,vnet", "--all", "-n", "more", "--timeout=150s")
}

// failover ends the leader as a node that dies does.
func (p *plane) failover(t *testing.T, replicas []*pod, webhook *endpoints) {
	lease := &coordinationv1.Lease{}
	leads := func() string {
		if err := p.client.Get(t.Context(), client.ObjectKey{Namespace: system, Name: "vm-scheduler"}, lease); err != nil {
			t.Fatal(err)
		}
		return *lease.Spec.HolderIdentity
	}
	was := leads()
	var leader, other *pod
	for i, o := range replicas {
		// Its name is its host's, as in any pod.
		if strings.HasPrefix(was, o.Name+"_") {
			leader, other = o, replicas[1-i]
		}
	}
	if leader == nil {
		t.Fatalf("the Lease is held by %s, which is no replica", was)
	}
	leader.kill()
	webhook.set(other)
	killed := time.Now()
	p.until(t, "the other replica leads", func() (string, bool) { now := leads(); return now, now != was })
	t.Logf("another replica led %s after the leader was killed", time.Since(killed).Round(time.Second))
	document := `{"apiVersion":"domus.dev/v1alpha1","kind":"VirtualMachine","metadata":{"name":"after","namespace":"more"},"spec":{"resources":{"cpu":1,"memory":"1Gi"}}}`
	run(t, []byte(document), kubectl(), "--kubeconfig", p.kubeconfig, "create", "-f", "-")
	p.running(t, "more", 1)
}
