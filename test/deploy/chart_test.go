package deploy

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// TestChartMakesWhatKustomizeMakes holds the two ways of installing equal. They
// differ in three things: Helm makes the namespace itself, keeps
// CustomResourceDefinitions, and has pods be replaced when their configuration
// changes.
func TestChartMakesWhatKustomizeMakes(t *testing.T) {
	for overlay, args := range map[string][]string{
		"default":        nil,
		"with-daemonset": {"--set", "executor.enabled=true"},
		"monitoring":     {"--set", "executor.enabled=true", "--set", "monitoring.enabled=true"},
	} {
		t.Run(overlay, func(t *testing.T) {
			want, got := comparable(t, kustomize(t, overlay)), comparable(t, helm(t, args...))
			if _, has := want["Namespace/"+system]; !has {
				t.Error("kustomize makes no namespace")
			}
			delete(want, "Namespace/"+system)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("kustomize -, helm +:\n%s", diff)
			}
		})
	}
}

// comparable are objects by kind and name, without what Helm alone has.
func comparable(t *testing.T, documents []byte) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, u := range objects(t, documents) {
		key := u.GetKind() + "/" + u.GetName()
		if all[key] != nil && u.GetNamespace() == "" {
			t.Errorf("%s is there twice", key)
		}
		if u.GetNamespace() != "" && u.GetNamespace() != system {
			key += " in " + u.GetNamespace()
		}
		drop(u, "metadata", "annotations", "helm.sh/resource-policy")
		drop(u, "spec", "template", "metadata", "annotations", "checksum/config")
		// How the text is laid out is not what it says.
		if text, has, _ := unstructured.NestedString(u.Object, "data", "executor.yaml"); has {
			var said map[string]any
			if err := yaml.Unmarshal([]byte(text), &said); err != nil {
				t.Fatal(err)
			}
			if err := unstructured.SetNestedMap(u.Object, said, "data", "executor.yaml"); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range u.Object {
			oneLine(v)
		}
		all[key] = u.Object
	}
	return all
}

// oneLine lays CEL's expressions out alike: kustomize adds line breaks to folded ones.
func oneLine(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			if text, is := field.(string); is && name == "expression" {
				v[name] = strings.Join(strings.Fields(text), " ")
			} else {
				oneLine(field)
			}
		}
	case []any:
		for _, item := range v {
			oneLine(item)
		}
	}
}

func drop(u *unstructured.Unstructured, fields ...string) {
	unstructured.RemoveNestedField(u.Object, fields...)
	above := fields[:len(fields)-1]
	if left, has, _ := unstructured.NestedMap(u.Object, above...); has && len(left) == 0 {
		unstructured.RemoveNestedField(u.Object, above...)
	}
}

func TestChartRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"another namespace":         {[]string{"--namespace", "vms"}, "give --namespace domus-system instead of vms"},
		"a value it does not know":  {[]string{"--set", "scheduler.replica=3"}, "replica"},
		"no replica":                {[]string{"--set", "scheduler.replicas=0"}, "scheduler/replicas"},
		"a digest that is none":     {[]string{"--set", "scheduler.image.digest=abc"}, "scheduler/image/digest"},
		"an argument that is none":  {[]string{"--set", "scheduler.extraArgs={v=2}"}, "scheduler/extraArgs"},
		"a host with a name":        {[]string{"--set", "executor.config.hosts[0].nodeName=a"}, "executor/config/hosts/0/nodeName"},
		"networks of CNI":           {[]string{"--set", "executor.config.hosts[0].cni.networks={a}"}, "executor/config/hosts/0/cni"},
		"a mode that is none":       {[]string{"--set", "executor.config.hosts[0].mode=shared"}, "executor/config/hosts/0/mode"},
		"another configuration":     {[]string{"--set", "scheduler.config.kind=KubeletConfiguration", "--set", "scheduler.config.apiVersion=v1"}, "scheduler/config"},
		"another Lease":             {[]string{"--set", "scheduler.config.kind=KubeSchedulerConfiguration", "--set", "scheduler.config.apiVersion=kubescheduler.config.k8s.io/v1"}, "leaderElection"},
		"no scheduler":              {[]string{"--set", "scheduler=null"}, "scheduler"},
		"a tag in the repository":   {[]string{"--set", "scheduler.image.repository=registry.example.org:5000/vm-scheduler:v1"}, "scheduler/image/repository"},
		"a field of no host":        {[]string{"--set", "executor.config.hosts[0].reserves.cpu=1"}, "executor/config/hosts/0"},
		"a Node that a kubelet has": {[]string{"--set", "executor.config.hosts[0].registerNode=true"}, "executor/config/hosts/0/registerNode"},
		"an address for all hosts":  {[]string{"--set", "executor.config.hosts[0].transfer.bindAddress=10.0.0.7:8445"}, "executor/config/hosts/0/transfer"},
		"what no probe reaches":     {[]string{"--set", "executor.config.healthBindAddress=127.0.0.1:9411"}, "executor/config/healthBindAddress"},
		"nothing for probes":        {[]string{"--set", "executor.config.healthBindAddress=null"}, "healthBindAddress"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"template", "domus", chart, "--namespace", system}, test.args...)
			_, complaint, err := try(nil, filepath.Join(tools, "helm"), args...)
			if err == nil || !strings.Contains(complaint, test.want) {
				t.Errorf("error %v does not say %q: %s", err, test.want, complaint)
			}
		})
	}
}

// as reads an object into its type, and refuses fields that the type has not.
func as[T any](t *testing.T, u *unstructured.Unstructured) *T {
	t.Helper()
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, into, true); err != nil {
		t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
	return into
}

func TestChartValues(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	all := objects(t, helm(t,
		"--set", "scheduler.replicas=1", "--set", "scheduler.image.tag=v1.2.3", "--set", "scheduler.featureGates.GenericWorkload=true",
		"--set", "scheduler.extraArgs={--v=2}", "--set", "imagePullSecrets={pull}", "--set-json", `scheduler.tolerations=[{"key":"own","operator":"Exists"}]`,
		"--set", "executor.enabled=true", "--set", "executor.image.digest="+digest, "--set-json", `executor.nodeSelector={"rack":"7"}`,
		"--set", "crds.install=false", "--set", "monitoring.enabled=true", "--set", "monitoring.labels.release=prom",
		"--set", "monitoring.prometheus.serviceAccountName=prom", "--set", "monitoring.prometheus.namespace=watch", "--set", "monitoring.interval=1m",
	))
	for _, u := range all {
		switch u.GetKind() {
		case "CustomResourceDefinition":
			t.Errorf("crds.install=false, and there is %s", u.GetName())
		case "PodDisruptionBudget":
			t.Error("the only replica may not be evicted")
		case "ServiceMonitor", "PrometheusRule":
			if u.GetLabels()["release"] != "prom" {
				t.Errorf("%s %s has labels %v", u.GetKind(), u.GetName(), u.GetLabels())
			}
		}
	}
	deployment := as[appsv1.Deployment](t, only(t, all, "Deployment", "vm-scheduler"))
	pod := deployment.Spec.Template.Spec
	type facts struct {
		Replicas                 int32
		Image                    string
		Args                     []string
		Secrets                  []corev1.LocalObjectReference
		Tolerations              int
		ExecutorImage            string
		ExecutorRack             string
		Subject, SubjectOf, Each string
	}
	daemonset := as[appsv1.DaemonSet](t, only(t, all, "DaemonSet", "vm-executor"))
	subjects, _, _ := unstructured.NestedSlice(only(t, all, "ClusterRoleBinding", "domus:metrics-reader").Object, "subjects")
	subject := subjects[0].(map[string]any)
	endpoints, _, _ := unstructured.NestedSlice(only(t, all, "ServiceMonitor", "vm-executor").Object, "spec", "endpoints")
	got := facts{
		*deployment.Spec.Replicas, pod.Containers[0].Image, pod.Containers[0].Args, pod.ImagePullSecrets, len(pod.Tolerations),
		daemonset.Spec.Template.Spec.Containers[0].Image, daemonset.Spec.Template.Spec.NodeSelector["rack"],
		subject["name"].(string), subject["namespace"].(string), endpoints[0].(map[string]any)["interval"].(string),
	}
	want := facts{
		1, "domus.dev/vm-scheduler:v1.2.3",
		[]string{"--secure-port=10259", "--webhook-port=9443", "--leader-elect=true", "--logging-format=json", "--feature-gates=GenericWorkload=true", "--v=2"},
		[]corev1.LocalObjectReference{{Name: "pull"}}, 2, "domus.dev/vm-executor@" + digest, "7", "prom", "watch", "1m",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWorkloadsAreClosed holds the pods against what docs/deploy.md says of them.
func TestWorkloadsAreClosed(t *testing.T) {
	all := objects(t, kustomize(t, "with-daemonset"))
	scheduler := as[appsv1.Deployment](t, only(t, all, "Deployment", "vm-scheduler"))
	executor := as[appsv1.DaemonSet](t, only(t, all, "DaemonSet", "vm-executor"))
	budget := as[policyv1.PodDisruptionBudget](t, only(t, all, "PodDisruptionBudget", "vm-scheduler"))
	if *scheduler.Spec.Replicas != 2 || budget.Spec.MinAvailable.IntValue() != 1 {
		t.Error("two replicas, of which one may be evicted, are said")
	}
	for name, template := range map[string]corev1.PodTemplateSpec{"vm-scheduler": scheduler.Spec.Template, "vm-executor": executor.Spec.Template} {
		pod, c := template.Spec, template.Spec.Containers[0]
		if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Containers) != 1 {
			t.Errorf("%s shares namespaces of its node", name)
		}
		security := c.SecurityContext
		if security.AllowPrivilegeEscalation == nil || *security.AllowPrivilegeEscalation || security.ReadOnlyRootFilesystem == nil || !*security.ReadOnlyRootFilesystem ||
			security.Privileged != nil || cmp.Diff([]corev1.Capability{"ALL"}, security.Capabilities.Drop) != "" {
			t.Errorf("%s: %+v", name, security)
		}
		if template.Labels["app.kubernetes.io/name"] != name {
			t.Errorf("%s has labels %v, and Services select by them", name, template.Labels)
		}
	}
	if diff := cmp.Diff([]corev1.Capability{"CHOWN", "FOWNER", "DAC_READ_SEARCH"}, executor.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities.Add); diff != "" {
		t.Error(diff)
	}
}
