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

	out, err := exec.Command(program("domus-dev"), "audit", "--dir", env.dir, "--output", "json", "--max-writes="+mostWrites).Output()
	g.Expect(err).NotTo(HaveOccurred(), "domus-dev audit: %s", out)
	var report struct {
		Writes    int   `json:"writes"`
		PodWrites []any `json:"podWrites"`
		Running   int   `json:"running"`
		VMs       []struct {
			Name  string `json:"name"`
			Total int    `json:"total"`
			Waits int    `json:"waits"`
		} `json:"vms"`
	}
	g.Expect(json.Unmarshal(out, &report)).To(Succeed())
	g.Expect(report.PodWrites).To(BeEmpty())
	g.Expect(report.Running).To(BeNumerically(">=", 1), "no VM was seen to become Running: is the audit log read right?")
	// Other tests' VMs have been edited and have waited: theirs is counted at the end.
	seen := false
	for _, vm := range report.VMs {
		if vm.Name != name {
			continue
		}
		seen = true
		g.Expect(vm.Total - vm.Waits).To(BeNumerically("<=", 4))
	}
	g.Expect(seen).To(BeTrue(), "the VM is not in the audit log")
}
