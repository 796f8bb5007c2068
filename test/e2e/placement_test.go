package e2e

import (
	"encoding/json"
	"os/exec"
	"testing"

	. "github.com/onsi/gomega"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestASimulatedHostTakesAVMWithFewWritesAndNoPod(t *testing.T) {
	g := NewWithT(t)
	const name = "simulated"
	create(t, newVM(name, "simulated"))
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(
		WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(node, HavePrefix("sim-"))))

	out, err := exec.Command(program("domus-dev"), "audit", "--dir", env.dir, "--output", "json").Output()
	g.Expect(err).NotTo(HaveOccurred(), "domus-dev audit: %s", out)
	var report struct {
		Writes    int   `json:"writes"`
		PodWrites []any `json:"podWrites"`
		Running   int   `json:"running"`
		MaxWrites int   `json:"maxWrites"`
	}
	g.Expect(json.Unmarshal(out, &report)).To(Succeed())
	g.Expect(report.PodWrites).To(BeEmpty())
	g.Expect(report.Running).To(BeNumerically(">=", 1), "no VM was seen to become Running: is the audit log read right?")
	g.Expect(report.MaxWrites).To(BeNumerically("<=", 4))
}
