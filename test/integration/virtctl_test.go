package integration

import (
	"bytes"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl"
)

// runVirtctl runs virtctl with a kubeconfig and returns what it prints.
func runVirtctl(t *testing.T, kubeconfig, stdin string, args ...string) (string, error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := virtctl.NewCommand("test", strings.NewReader(stdin), &out, &errOut)
	cmd.SetArgs(append([]string{"--kubeconfig", kubeconfig}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestVirtctlExplainAndFit(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	create(t, newVM(ns, "pending", 10, 4))
	waitVM(t, ns, "pending", waiting("Unschedulable", "need 10 vCPUs"))
	answer(t, ofVM(ns, "pending"))
	admin := kubeconfigOf(t, configOf(t, "virtctl-admin", "system:masters"))

	document := "apiVersion: domus.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: new, namespace: " + ns + "}\nspec: {resources: {cpu: 2, memory: 4Gi}, nodeSelector: {test: " + ns + "}}\n"
	for name, test := range map[string]struct {
		stdin string
		args  []string
		want  []string
	}{
		"a VM that waits": {
			args: []string{"explain", "-n", ns, "pending"},
			want: []string{"virtualmachine/pending fits on none of", "HOSTS", "PLUGIN", "HostResources", names[0] + "," + names[1], "What would have to change:"},
		},
		"a document": {
			stdin: document, args: []string{"explain", "-f", "-"},
			want: []string{"HOST ", "SCORE", "HostResources", names[0], names[1]},
		},
		"more of a shape": {
			args: []string{"fit", "-n", ns, "--cpu", "2", "--memory", "4Gi", "--node-selector", "test=" + ns},
			want: []string{"8 more fit", "HOST ", "MORE", names[0] + "   4", names[1] + "   4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runVirtctl(t, admin, test.stdin, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("does not print %q:\n%s", want, out)
				}
			}
		})
	}
	t.Run("an answer to read by programs", func(t *testing.T) {
		out, err := runVirtctl(t, admin, document, "fit", "-f", "-", "-o", "yaml")
		if err != nil {
			t.Fatal(err)
		}
		status := &v1alpha1.PlacementReviewStatus{}
		if err := yaml.UnmarshalStrict([]byte(out), status); err != nil || status.Fit == nil || status.Fit.Count != 8 {
			t.Errorf("%v in:\n%s", err, out)
		}
	})
	t.Run("completes names", func(t *testing.T) {
		out, err := runVirtctl(t, admin, "", "__complete", "explain", "-n", ns, "")
		if err != nil || !strings.HasPrefix(out, "pending\tPending\n") {
			t.Errorf("%q, %v", out, err)
		}
	})

	nobody := kubeconfigOf(t, configOf(t, "virtctl-nobody"))
	t.Run("says which right is missing", func(t *testing.T) {
		_, err := runVirtctl(t, nobody, "", "explain", "-n", ns, "pending")
		refusedBecause(t, "a caller without rights", err, `cannot create resource "placementreviews"`)
		refusedBecause(t, "a caller without rights", err, "--clusterrole=domus:placement-reviewer")
		bind(t, ns, "virtctl-nobody", rbacv1.RoleRef{Kind: "ClusterRole", Name: "domus:placement-reviewer"})
		eventuallyRefused(t, func() error {
			_, err := runVirtctl(t, nobody, "", "explain", "-n", ns, "pending")
			return err
		}, `cannot get resource "virtualmachines" in API group "domus.dev" in the namespace "`+ns+`": to ask about a VM`)
	})
	t.Run("says how to find a VM", func(t *testing.T) {
		_, err := runVirtctl(t, admin, "", "explain", "-n", ns, "gone")
		refusedBecause(t, "a VM that is not there", err, "see `virtctl get -A`")
	})
}

func TestVirtctlExplainWhileTheSchedulerIsAway(t *testing.T) {
	ns := namespace(t, nil)
	admin := kubeconfigOf(t, configOf(t, "virtctl-admin", "system:masters"))
	_, err := runVirtctl(t, admin, "", "explain", "-n", ns, "any")
	refusedBecause(t, "nobody there to answer", err, "is it running?")
}
