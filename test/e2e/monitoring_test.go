package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/clientcmd"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/test/internal/monitoring"
)

const (
	monitoringDir = "../../manifests/monitoring"
	// answered is how long Prometheus may take to have read all pages twice.
	answered = 4 * time.Minute
)

// quiet are metrics of which a cluster in good health has no series, or none for
// this guest, with the fault or the setting that would make one. A query that asks
// for one of them may be answered by nothing.
var quiet = map[string]string{
	"domus_host_rejections_total":               "a host that refuses a VM, as when another program takes its memory between report and start",
	"domus_vm_interface_receive_bytes_total":    "an interface, which the test's guest has not",
	"domus_vm_interface_receive_packets_total":  "an interface",
	"domus_vm_interface_receive_errors_total":   "an interface",
	"domus_vm_interface_receive_drops_total":    "an interface",
	"domus_vm_interface_transmit_bytes_total":   "an interface",
	"domus_vm_interface_transmit_packets_total": "an interface",
	"domus_vm_interface_transmit_errors_total":  "an interface",
	"domus_vm_interface_transmit_drops_total":   "an interface",
	"domus_vm_block_write_time_seconds_total":   "a guest that writes, of whose requests there is a mean time; this one's disk is read-only",
	"domus_vm_block_flush_time_seconds_total":   "a guest that flushes",
}

// silent are alerts with the fault that has them fire; this cluster has none of
// those. Of two others the test makes the fault: DomusVMPendingTooLong waits, for a
// VM that no host can hold, and DomusBelowNPlusOne, for a guest that may run on one
// host alone.
var silent = map[string]string{
	"DomusHostLost":            "vm-executor or libvirtd ended on a host",
	"DomusHugepagesExhausted":  "VMs in nearly all pages",
	"DomusExecutorRejections":  "a host that refuses VMs",
	"DomusRestartStorm":        "a guest that ends itself again and again",
	"DomusNoLeader":            "vm-scheduler ended",
	"DomusExecutorPageMissing": "vm-executor ended",
	"DomusDomainQuarantined":   "a VM removed by hand while its host was away",
}

// Prometheus reads the cluster's pages and is asked every query of the dashboards
// and every rule, while VMs of several kinds come and run.
func TestPrometheusAnswersEveryQuery(t *testing.T) {
	g := NewWithT(t)
	const guest, huge = "measured", "too-large-for-all"
	waits := newVM(huge, "simulated")
	waits.Spec.Resources.Memory = resource.MustParse("900Gi")
	create(t, waits)
	t.Cleanup(func() { remove(t, huge) })
	for _, numa := range []v1alpha1.NUMAPolicy{v1alpha1.NUMASingleCell, v1alpha1.NUMANone} {
		simulated := newVM("measured-"+strings.ToLower(string(numa)), "simulated")
		simulated.Spec.Resources.NUMA = numa
		create(t, simulated)
		t.Cleanup(func() { remove(t, simulated.Name) })
	}
	p := startPrometheus(t)
	// What comes to be while Prometheus looks on is what rates are of.
	g.Eventually(p.ask(`sum(up)`), answered, "1s").Should(HaveValue(BeNumerically("==", 3)), "pages that are read")
	create(t, newGuest(t, guest))
	t.Cleanup(func() { remove(t, guest) })
	late := newVM("measured-late", "simulated")
	create(t, late)
	t.Cleanup(func() { remove(t, late.Name) })
	g.Eventually(get(t, guest), bootTime, "1s").Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))

	queries, err := monitoring.Dashboards(filepath.Join(monitoringDir, "dashboards"))
	g.Expect(err).NotTo(HaveOccurred())
	rules, err := monitoring.Rules(filepath.Join(monitoringDir, "rules"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, r := range rules {
		if silent[r.Alert] == "" {
			queries = append(queries, monitoring.Query{Where: r.Name(), Expr: r.Expr})
		}
	}
	empty := map[string]string{}
	for _, q := range queries {
		expr := monitoring.Concrete(q.Expr, guest)
		if excuse := excused(t, expr); excuse == "" {
			empty[q.Where+": "+expr] = expr
		}
	}
	asked := len(empty)
	g.Eventually(func(g Gomega) {
		for where, expr := range empty {
			n, err := p.count(expr)
			g.Expect(err).NotTo(HaveOccurred(), where)
			if n > 0 {
				delete(empty, where)
			}
		}
		g.Expect(slices.Sorted(maps.Keys(empty))).To(BeEmpty(), "queries that nothing answers")
	}, answered, "3s").Should(Succeed())
	t.Logf("%d of %d queries and rules are answered by series, the others are excused", asked, len(queries))

	// Those that are excused are answered, if by nothing; and rules are understood.
	for _, q := range queries {
		_, err := p.count(monitoring.Concrete(q.Expr, guest))
		g.Expect(err).NotTo(HaveOccurred(), q.Where)
	}
	for name, fault := range silent {
		at := slices.IndexFunc(rules, func(r monitoring.Rule) bool { return r.Alert == name })
		g.Expect(at).To(BeNumerically(">=", 0), "alert %s is no more", name)
		n, err := p.count(rules[at].Expr)
		g.Expect(err).NotTo(HaveOccurred(), name)
		g.Expect(n).To(BeZero(), "%s fires without its fault (%s)", name, fault)
	}
	// Nothing is known of a rule before its group's first turn, which comes within 30 s.
	g.Eventually(p.rulesInBadHealth, answered, "1s").Should(BeEmpty())

	// The table says what is there, and what a library has is there too.
	var missing []string
	for _, m := range metrics.Table() {
		missing = append(missing, p.missing(t, m.Name, m.Type)...)
	}
	for _, o := range metrics.Others() {
		missing = append(missing, p.missing(t, o.Name, o.Type)...)
	}
	g.Expect(missing).To(BeEmpty(), "metrics of the table of which nobody tells")
}

// A guest whose QEMU hangs costs pages for a moment: each still comes in time, and
// soon they come as fast as before and have all but what only that QEMU could tell.
func TestAHungQEMUDelaysNoMetrics(t *testing.T) {
	g := NewWithT(t)
	for _, name := range []string{"hangs", "beside-it"} {
		create(t, newGuest(t, name))
		t.Cleanup(func() { remove(t, name) })
		g.Eventually(get(t, name), bootTime, "500ms").Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	}
	hung, err := get(t, "hangs")()
	g.Expect(err).NotTo(HaveOccurred())
	pid := qemu(hung.DomainUUID())
	g.Expect(pid).NotTo(BeZero())
	page := "http://127.0.0.1:" + fmt.Sprint(portsOf(t)["realMetrics"]) + "/metrics"
	g.Expect(syscall.Kill(pid, syscall.SIGSTOP)).To(Succeed())
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	var took []time.Duration
	g.Eventually(func(g Gomega) {
		began := time.Now()
		text := readPage(t, page)
		took = append(took, time.Since(began).Round(time.Millisecond))
		g.Expect(took[len(took)-1]).To(BeNumerically("<", time.Second), "pages took %s", took)
		g.Expect(text).To(ContainSubstring(`domus_libvirt_up{node="real-1"} 1`))
		g.Expect(text).To(MatchRegexp(`domus_vm_block_read_bytes_total\{device="vda",name="beside-it",namespace="demo",node="real-1"\} `))
		g.Expect(text).To(ContainSubstring(`domus_vm_domain_state{name="hangs",namespace="demo",node="real-1",state="running"} 1`))
	}, answered, "100ms").Should(Succeed())
	t.Logf("pages took %s", took)
	// Prometheus waits 10 s.
	g.Expect(slices.Max(took)).To(BeNumerically("<", 10*time.Second))
}

// excused is why a query may be answered by nothing.
func excused(t *testing.T, expr string) string {
	t.Helper()
	selectors, err := monitoring.Selectors(expr)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range selectors {
		if quiet[s.Metric] != "" {
			return quiet[s.Metric]
		}
	}
	return ""
}

// portsOf are the cluster's ports by name.
func portsOf(t *testing.T) map[string]int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(env.dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Ports map[string]int `json:"ports"`
	}
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	return state.Ports
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	answer, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s (%v)", page, answer.Status, err)
	}
	return string(text)
}

// prometheus is one that reads the cluster's pages.
type prometheus struct{ address string }

// startPrometheus runs one until the test ends, with the rules of the project.
func startPrometheus(t *testing.T) *prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("%v: run make deps", err)
	}
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{address: listener.Addr().String()}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), p.configuration(t, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("Prometheus says:\n%s", text)
		}
	})
	return p
}

// configuration has the cluster's own administrator read vm-scheduler's page.
func (p *prometheus) configuration(t *testing.T, dir string) []byte {
	t.Helper()
	admin, err := clientcmd.BuildConfigFromFlags("", filepath.Join(env.dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmdFiles(admin.CertData, admin.KeyData, dir); err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join(monitoringDir, "rules"))
	if err != nil {
		t.Fatal(err)
	}
	ports := portsOf(t)
	return fmt.Appendf(nil, `
global: {scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 3s}
rule_files: [%[1]s/domus.rules.yaml, %[1]s/domus.alerts.yaml]
scrape_configs:
  - job_name: vm-scheduler
    scheme: https
    honor_labels: true
    tls_config: {insecure_skip_verify: true, cert_file: %[2]s/tls.crt, key_file: %[2]s/tls.key}
    static_configs: [{targets: ["127.0.0.1:%[3]d"]}]
  - job_name: vm-executor
    honor_labels: true
    static_configs: [{targets: ["127.0.0.1:%[4]d", "127.0.0.1:%[5]d"]}]
`, rules, dir, ports["scheduler"], ports["realMetrics"], ports["simulatedMetrics"])
}

func clientcmdFiles(cert, key []byte, dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "tls.crt"), cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tls.key"), key, 0o600)
}

// get asks Prometheus' API.
func (p *prometheus) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, answer.Status, text)
	}
	return json.Unmarshal(text, into)
}

type answer struct {
	Data struct {
		Result []struct {
			Value [2]any `json:"value"`
		} `json:"result"`
	} `json:"data"`
}

// count is how many series answer a query.
func (p *prometheus) count(expr string) (int, error) {
	var a answer
	err := p.get("/api/v1/query?query="+url.QueryEscape(expr), &a)
	return len(a.Data.Result), err
}

// ask is the one number that answers, for Eventually.
func (p *prometheus) ask(expr string) func() (*float64, error) {
	return func() (*float64, error) {
		var a answer
		if err := p.get("/api/v1/query?query="+url.QueryEscape(expr), &a); err != nil || len(a.Data.Result) == 0 {
			return nil, err
		}
		var v float64
		_, err := fmt.Sscan(fmt.Sprint(a.Data.Result[0].Value[1]), &v)
		return &v, err
	}
}

// missing names the metric when there is no series of it and it is not quiet.
func (p *prometheus) missing(t *testing.T, name string, kind metrics.Type) []string {
	t.Helper()
	series := name
	if kind == metrics.Histogram {
		series += "_bucket"
	}
	n, err := p.count(series)
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 && quiet[series] == "" {
		return []string{name}
	}
	return nil
}

// rulesInBadHealth are those that Prometheus cannot evaluate, with why.
func (p *prometheus) rulesInBadHealth() (map[string]string, error) {
	var a struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string } `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := p.get("/api/v1/rules", &a); err != nil {
		return nil, err
	}
	bad, rules := map[string]string{}, 0
	for _, g := range a.Data.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Health != "ok" {
				bad[r.Name] = r.Health + ": " + r.LastError
			}
		}
	}
	if rules == 0 {
		bad["all"] = "Prometheus has no rules"
	}
	return bad, nil
}
