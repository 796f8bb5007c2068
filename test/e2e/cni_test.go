package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ofCNI is all that cards of CNI leave on a real host: interfaces, but for the
// network's own bridge, namespaces, addresses given out, and records.
func ofCNI(t *testing.T, h realHost) []string {
	t.Helper()
	links, err := exec.Command("nsenter", "--target", strconv.Itoa(h.libvirtd(t)), "--net", "--", "ip", "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range strings.Split(string(links), "\n") {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "dt") || strings.HasPrefix(word, "dv") || strings.HasPrefix(word, "veth") {
				out = append(out, "interface "+word)
			}
		}
	}
	for _, pattern := range []string{"netns/*", "ipam/*/10.*", "state/*/cards/*", "state/*/locks/*", "state/*/cache/results/*"} {
		found, err := filepath.Glob(filepath.Join(h.dir, "host/cni", pattern))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return out
}

// createPodNetwork makes the VirtualNetwork of the configuration that every real host
// has, for the length of a test.
func createPodNetwork(t *testing.T) *v1alpha1.VirtualNetwork {
	t.Helper()
	network := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pods"}}
	network.Spec.Type, network.Spec.CNI = v1alpha1.NetworkCNI, &v1alpha1.CNINetwork{ConfigName: "pods"}
	createNetwork(t, network)
	return network
}

// onPods gives a VM a card on the host's own CNI configuration.
func onPods(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachine {
	vm.Spec.Interfaces = append(vm.Spec.Interfaces, v1alpha1.VirtualMachineInterface{Name: "net0", NetworkName: "pods"})
	return vm
}

// succeeds has a guest run a command of the shell, and waits for its success.
func succeeds(t *testing.T, vm *v1alpha1.VirtualMachine, tag, command string) {
	t.Helper()
	inGuest(t, vm, "for i in 1 2 3 4 5; do { "+command+"; } && break; done >/dev/ttyS0 2>&1 && echo "+tag+" >/dev/ttyS0")
	NewWithT(t).Eventually(func() string { return env.console(vm.Name) }).WithTimeout(bootTime).Should(ContainSubstring(tag))
}

// podAddress is the address of the VM's card, for matchers.
func podAddress(vm *v1alpha1.VirtualMachine) string {
	for _, i := range vm.Status.Interfaces {
		for _, a := range i.Addresses {
			if strings.HasPrefix(a, "10.244.") {
				return a
			}
		}
	}
	return ""
}

// Guests have cards by the host's CNI configuration, reach each other, keep their
// cards while vm-executor dies, and leave nothing.
func TestCNI(t *testing.T) {
	g := NewWithT(t)
	before := ofCNI(t, first())
	network := createPodNetwork(t)
	names := []string{"pod-a", "pod-b"}
	t.Cleanup(func() {
		for _, name := range names {
			remove(t, name)
		}
	})
	hv := &v1alpha1.Hypervisor{}
	g.Eventually(func() ([]string, error) {
		err := env.Get(t.Context(), client.ObjectKey{Name: "real-1"}, hv)
		return hv.Status.CNINetworks, err
	}).WithTimeout(settleTime).Should(ContainElement("pods"))
	for _, name := range names {
		create(t, onPods(newAgentGuest(t, name, nil)))
	}
	for _, name := range names {
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(podAddress, Not(BeEmpty())))
		g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(connected, Equal(metav1.ConditionTrue)))
	}
	a, err := get(t, names[0])()
	g.Expect(err).NotTo(HaveOccurred())
	b, err := get(t, names[1])()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(podAddress(a)).NotTo(Equal(podAddress(b)))
	reaches := "ping -c 3 -W 20 " + podAddress(b)
	succeeds(t, a, "REACHES-BOTH", reaches+" && ping -c 1 -W 20 10.244.0.1")

	env.kill(t, "vm-executor-real")
	succeeds(t, a, "WITHOUT-EXECUTOR", reaches)
	g.Expect(env.up()).To(Succeed())
	// Its lease is answered for anew.
	succeeds(t, a, "LEASED-ANEW", "killall udhcpc; ip -4 address flush dev eth0; udhcpc -n -q -S -t 20 -i eth0 -s /etc/dhcp && "+reaches)

	// One whose configuration no host has waits, and says for what.
	other := network.DeepCopy()
	other.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "nowhere"}
	other.Spec.CNI.ConfigName = "nowhere"
	g.Expect(env.Create(t.Context(), other)).To(Succeed())
	lost := newGuest(t, "pod-lost")
	lost.Spec.Interfaces = []v1alpha1.VirtualMachineInterface{{Name: "net0", NetworkName: "nowhere"}}
	names = append(names, lost.Name)
	create(t, lost)
	g.Eventually(get(t, lost.Name)).WithTimeout(settleTime).Should(WithTransform(func(vm *v1alpha1.VirtualMachine) string { return vm.Status.Message },
		ContainSubstring("no CNI configuration nowhere")))

	for _, name := range names {
		remove(t, name)
	}
	removeNetwork(t, other.Name)
	g.Eventually(func() []string { return ofCNI(t, first()) }).WithTimeout(3 * settleTime).Should(Equal(before))
	if _, err := os.Stat(filepath.Join(env.dir, "host/cni/net.d/10-pods.conflist")); err != nil {
		t.Error(err)
	}
}
