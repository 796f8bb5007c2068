package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/placementmap"
)

// mapViewer is a ClusterRole of the manifests.
const mapViewer = "domus:placement-map-viewer"

// mapOf gets what of the map is below its path with the credentials of cfg, as
// virtctl does.
func mapOf(t *testing.T, cfg *rest.Config, below string) *http.Response {
	t.Helper()
	trusted := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	get(t, types.NamespacedName{Name: "vm-scheduler.domus.dev"}, trusted)
	cfg = rest.CopyConfig(cfg)
	cfg.CAFile, cfg.CAData = "", trusted.Webhooks[0].ClientConfig.CABundle
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("https://127.0.0.1:%d%s%s", suite.plane.webhookPort, placementmap.Path, below)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// mapAnswer asks until the code is as wanted: rights are remembered for 10 seconds, and
// hosts are read at the start.
func mapAnswer(t *testing.T, cfg *rest.Config, below string, code int) string {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		response := mapOf(t, cfg, below)
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode == code && err == nil {
			return string(body)
		}
		last = fmt.Sprint(response.Status, " ", string(body), err)
	}
	t.Fatalf("%q: %s, want %d", below, last, code)
	return ""
}

// mapState is what the viewer is shown of the hosts and VMs of these namespaces.
type mapState struct {
	Cursor string
	Hosts  []placementmap.Host
	VMs    []placementmap.VM
}

func (s *mapState) names(namespaces ...string) []string {
	var out []string
	for i := range s.Hosts {
		if slices.ContainsFunc(namespaces, func(ns string) bool { return strings.HasPrefix(s.Hosts[i].Name, ns) }) {
			out = append(out, s.Hosts[i].Name)
		}
	}
	for i := range s.VMs {
		if slices.Contains(namespaces, s.VMs[i].Namespace) {
			out = append(out, s.VMs[i].Namespace+"/"+s.VMs[i].Name)
		}
	}
	slices.Sort(out)
	return out
}

// waitMap waits until the viewer is shown this of the namespaces.
func waitMap(t *testing.T, cfg *rest.Config, namespaces, want []string) *mapState {
	t.Helper()
	slices.Sort(want)
	var diff string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		s := &mapState{}
		if err := json.Unmarshal([]byte(mapAnswer(t, cfg, "state", http.StatusOK)), s); err != nil {
			t.Fatal(err)
		}
		if diff = cmp.Diff(want, s.names(namespaces...)); diff == "" {
			return s
		}
	}
	t.Fatalf("the map shows something else: %s", diff)
	return nil
}

func bindMapViewer(t *testing.T, subject rbacv1.Subject) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{Subjects: []rbacv1.Subject{subject}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: mapViewer}}
	binding.Name = "map-" + subject.Name
	create(t, binding)
}

func TestThePlacementMapHoldsViewersToTheirRights(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	mine, other := namespace(t, nil), namespace(t, nil)
	both := []string{mine, other}
	names := hosts(t, mine, 1, mid)
	create(t, newVM(mine, "placed", 2, 2))
	create(t, newVM(mine, "waits", 50, 2))
	create(t, newVM(other, "theirs", 2, 2, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector = map[string]string{"test": mine} }))
	waitVM(t, mine, "placed", bound)
	waitVM(t, other, "theirs", bound)

	t.Run("nobody", func(t *testing.T) {
		mapAnswer(t, &rest.Config{}, "", http.StatusForbidden)
		if body := mapAnswer(t, &rest.Config{}, "state", http.StatusForbidden); strings.Contains(body, "placed") {
			t.Error(body)
		}
	})
	t.Run("a token that is none", func(t *testing.T) {
		mapAnswer(t, &rest.Config{BearerToken: "made-up"}, "state", http.StatusUnauthorized)
	})
	t.Run("who says to be an administrator", func(t *testing.T) {
		cfg := &rest.Config{Impersonate: rest.ImpersonationConfig{UserName: "root", Groups: []string{"system:masters"}}}
		mapAnswer(t, cfg, "state", http.StatusForbidden)
	})
	t.Run("a user without rights", func(t *testing.T) {
		jane := configOf(t, "map-jane")
		for _, below := range []string{"", "state", "events", "why?namespace=" + mine + "&name=placed"} {
			if body := mapAnswer(t, jane, below, http.StatusForbidden); !strings.Contains(body, `User \"map-jane\" cannot get path`) {
				t.Error(body)
			}
		}
	})
	t.Run("a viewer sees hosts, and VMs where they may list them", func(t *testing.T) {
		joe := configOf(t, "map-joe")
		bindMapViewer(t, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "map-joe"})
		if body := mapAnswer(t, joe, "", http.StatusOK); !strings.Contains(body, "<title>Placement map</title>") {
			t.Error(body)
		}
		waitMap(t, joe, both, []string{names[0]})
		mapAnswer(t, joe, "why?namespace="+mine+"&name=waits", http.StatusForbidden)
		grant(t, mine, "map-joe", "list")
		s := waitMap(t, joe, both, []string{names[0], mine + "/placed", mine + "/waits"})
		for i := range s.Hosts {
			// What is free does not depend on who looks.
			if h := &s.Hosts[i]; h.Name == names[0] && (h.CPU[0] != 4 || h.VMs != 2) {
				t.Errorf("%+v", h)
			}
		}
		grant(t, mine, "map-joe", "get")
		why := &placementmap.Why{}
		if err := json.Unmarshal([]byte(mapAnswer(t, joe, "why?namespace="+mine+"&name=waits", http.StatusOK)), why); err != nil {
			t.Fatal(err)
		}
		if why.Review == nil || why.Review.Feasible != 0 || len(why.Review.Rejections) == 0 || !why.VM.Waits || !strings.Contains(why.Status.Message, "50 vCPUs") {
			t.Errorf("%+v", why)
		}
		mapAnswer(t, joe, "why?namespace="+other+"&name=theirs", http.StatusForbidden)
	})
	t.Run("a service account with a token", func(t *testing.T) {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "viewer"}}
		create(t, account)
		token, err := suite.clientset.CoreV1().ServiceAccounts(other).CreateToken(t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		bindMapViewer(t, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: other, Name: account.Name})
		grant(t, other, "system:serviceaccount:"+other+":viewer", "list")
		waitMap(t, &rest.Config{BearerToken: token.Status.Token}, both, []string{names[0], other + "/theirs"})
	})
	t.Run("changes arrive, of what may be seen", func(t *testing.T) {
		s := waitMap(t, configOf(t, "map-joe-2", "system:masters"), []string{other}, []string{other + "/theirs"})
		response := mapOf(t, configOf(t, "map-joe-2", "system:masters"), "events?since="+s.Cursor)
		defer func() { _ = response.Body.Close() }()
		create(t, newVM(other, "late", 1, 1))
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), `"name":"late"`) {
				return
			}
		}
		t.Error("the stream has ended without the VM")
	})
}

// A replica that does not lead shows the same.
func TestAStandbyServesThePlacementMap(t *testing.T) {
	leader := startScheduler(t, schedulerOptions{leaderElect: true, noWebhook: true})
	leader.waitLog("Successfully acquired lease")
	standby := startScheduler(t, schedulerOptions{leaderElect: true})
	ns := namespace(t, nil)
	names := hosts(t, ns, 1, mid)
	create(t, newVM(ns, "vm", 2, 2))
	waitVM(t, ns, "vm", bound)
	admin := configOf(t, "map-admin", "system:masters")
	s := waitMap(t, admin, []string{ns}, []string{names[0], ns + "/vm"})
	for deadline := time.Now().Add(eventually); ; time.Sleep(200 * time.Millisecond) {
		for i := range s.VMs {
			if vm := &s.VMs[i]; vm.Namespace == ns && vm.Host == names[0] {
				if strings.Contains(string(standby.read()), "Successfully acquired lease") {
					t.Error("the replica that was asked leads")
				}
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the VM has a host, and the map shows %+v", s.VMs)
		}
		s = waitMap(t, admin, []string{ns}, []string{names[0], ns + "/vm"})
	}
}
