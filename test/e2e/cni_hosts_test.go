package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// onPodsOf is a VM on one of the real hosts with a card on its CNI configuration.
func onPodsOf(t *testing.T, h realHost, name string) *v1alpha1.VirtualMachine {
	t.Helper()
	vm := onPods(newAgentGuest(t, name, nil))
	vm.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": h.node}
	return vm
}

// hasPodAddress waits until the guest runs, its agent answers and it has an address
// that begins so.
func hasPodAddress(t *testing.T, name, prefix string) *v1alpha1.VirtualMachine {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(get(t, name)).WithTimeout(2*bootTime).Should(And(
		WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(podAddress, HavePrefix(prefix)),
		WithTransform(connected, BeEquivalentTo("True"))), func() string { return "its console:\n" + env.console(name) })
	vm, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	return vm
}

// leased are the addresses that a host's plugins have given out.
func leased(t *testing.T, h realHost) (out []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, "host/cni/ipam/*/10.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		out = append(out, filepath.Base(f))
	}
	return out
}

// Guests of two hosts, each of which gives out addresses of a subnet of its own,
// reach each other by the routes between the hosts, and do again when one of the
// hosts was rebooted.
func TestCNIBetweenHosts(t *testing.T) {
	g := NewWithT(t)
	twoHosts(t)
	here, there := first(), second()
	before := map[string][]string{here.node: ofCNI(t, here), there.node: ofCNI(t, there)}
	createPodNetwork(t)
	for _, h := range []realHost{here, there} {
		g.Eventually(h.hypervisor).WithTimeout(settleTime).Should(HaveField("Status.CNINetworks", ContainElement("pods")))
	}
	t.Cleanup(func() { remove(t, "apart-a"); remove(t, "apart-b") })
	create(t, onPodsOf(t, here, "apart-a"))
	create(t, onPodsOf(t, there, "apart-b"))
	a := hasPodAddress(t, "apart-a", "10.244.0.")
	b := hasPodAddress(t, "apart-b", "10.244.1.")

	// Each way, also in packets as large as the card takes. What answers has passed two
	// routers, the hosts, each of which takes one from its time to live.
	reaches := func(to *v1alpha1.VirtualMachine) string {
		return fmt.Sprintf("ping -c 3 -W 20 %s | grep -q ttl=62 && ping -c 1 -W 20 -s 1472 %[1]s", podAddress(to))
	}
	succeeds(t, a, "A-REACHES-B", reaches(b))
	succeeds(t, b, "B-REACHES-A", reaches(a))

	// It is the way between the hosts that they go.
	inHost(t, "ip", "link", "set", "uplink", "down")
	g.Expect(hear(t, a, "ping -c 2 -W 5 "+podAddress(b)+" 2>&1 | grep -c ' 0 packets received'")).To(Equal("1"))
	g.Expect(env.up("--second-real-host")).To(Succeed())
	succeeds(t, a, "A-REACHES-B-AGAIN", reaches(b))

	// After a reboot of its host the guest has a card again, and an address. The one
	// that it had before is free.
	env.kill(t, there.process)
	g.Eventually(func() int { return qemu(b.Status.Host.DomainUUID) }).WithTimeout(settleTime).Should(BeZero())
	g.Expect(env.up("--second-real-host")).To(Succeed())
	g.Eventually(func() int { return strings.Count(env.console(b.Name), banner) }).WithTimeout(2 * bootTime).Should(Equal(2))
	g.Eventually(func() []string { return leased(t, there) }).WithTimeout(settleTime).Should(HaveLen(1))
	g.Eventually(get(t, b.Name)).WithTimeout(bootTime).Should(WithTransform(podAddress, Equal(leased(t, there)[0])))
	b = hasPodAddress(t, b.Name, "10.244.1.")
	succeeds(t, a, "A-REACHES-B-REBOOTED", reaches(b))

	remove(t, a.Name)
	remove(t, b.Name)
	for _, h := range []realHost{here, there} {
		g.Eventually(func() []string { return ofCNI(t, h) }).WithTimeout(3*settleTime).Should(Equal(before[h.node]), h.node)
	}
}
