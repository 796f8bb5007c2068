package e2e

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// VMs with cards of CNI come and go while vm-executor and libvirtd are killed and the
// host loses power, each at any moment. When they are gone the host has what it had
// before: interfaces, namespaces, addresses, records and what libcni keeps.
func TestCNILeaksNothing(t *testing.T) {
	g := NewWithT(t)
	before := ofCNI(t, first())
	createPodNetwork(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	names := []string{"come-1", "come-2", "come-3"}
	t.Cleanup(func() {
		g.Expect(env.up()).To(Succeed())
		for _, name := range names {
			remove(t, name)
		}
	})
	hurts := map[string]int{}
	hurt := func() {
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		what := "vm-executor-real"
		switch random.IntN(8) {
		case 0:
			what = "host"
		case 1:
			what = "libvirtd"
		}
		hurts[what]++
		if what == "libvirtd" {
			kill(t, env.libvirtd(t))
		} else {
			env.kill(t, what)
		}
		g.Expect(env.up()).To(Succeed())
	}
	all := rounds(t, 3)
	for round := range all {
		for _, name := range names {
			vm := onPods(newGuest(t, name))
			vm.Spec.TerminationGracePeriodSeconds = new(int64)
			create(t, vm)
		}
		for range 1 + random.IntN(2) {
			hurt()
		}
		// One that is wanted is to be had, whatever happened, with an address that is its
		// own.
		if round == 0 || random.IntN(3) == 0 {
			for _, name := range names {
				g.Eventually(get(t, name)).WithTimeout(bootTime).Should(And(WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(podAddress, Not(BeEmpty()))))
			}
			g.Eventually(func() string {
				var has []string
				for _, name := range names {
					vm, err := get(t, name)()
					g.Expect(err).NotTo(HaveOccurred())
					has = append(has, podAddress(vm))
				}
				given := leased(t, first())
				slices.Sort(has)
				slices.Sort(given)
				return cmp.Diff(given, has)
			}).WithTimeout(settleTime).Should(BeEmpty(), "addresses that are given out and those that VMs have, in round %d", round)
		}
		for _, name := range names {
			_ = env.Delete(context.Background(), newVM(name, "real"))
		}
		if random.IntN(2) == 0 {
			hurt()
		}
		for _, name := range names {
			remove(t, name)
		}
	}
	t.Logf("%d rounds, killed: %v", all, hurts)
	g.Eventually(func() []string { return ofCNI(t, first()) }).WithTimeout(3 * settleTime).Should(Equal(before))
	g.Expect(leased(t, first())).To(BeEmpty())
}
