package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestUpChangesNothingThatRuns(t *testing.T) {
	g := NewWithT(t)
	components := []string{"etcd", "kube-apiserver", "host", "vm-scheduler", "vm-executor-real", "vm-executor-simulated"}
	pids := func() map[string]int {
		out := map[string]int{}
		for _, name := range components {
			out[name] = env.pid(t, name)
		}
		return out
	}
	before := pids()
	g.Expect(env.up()).To(Succeed())
	g.Expect(pids()).To(Equal(before))
}
