package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// newNetwork is a network of the type whose hosts have the address, with DHCP.
func newNetwork(name string, kind v1alpha1.NetworkType, prefix string) *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	n.Spec.Type = kind
	n.Spec.Subnets = []v1alpha1.NetworkSubnet{{
		Address: prefix + ".1/24",
		DHCP:    &v1alpha1.NetworkDHCP{Ranges: []v1alpha1.AddressRange{{Start: prefix + ".10", End: prefix + ".99"}}},
	}}
	return n
}

func createNetwork(t *testing.T, n *v1alpha1.VirtualNetwork) {
	t.Helper()
	ensureNamespace(t, n.Namespace)
	if err := env.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeNetwork(t, n.Name) })
}

// removeNetwork deletes the network, if it is there, and waits until nothing of it is
// left.
func removeNetwork(t *testing.T, name string) {
	t.Helper()
	ctx := context.Background()
	n := &v1alpha1.VirtualNetwork{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for deadline := time.Now().Add(bootTime); ; time.Sleep(200 * time.Millisecond) {
		err := env.Delete(ctx, n)
		if apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			_ = env.Get(ctx, client.ObjectKeyFromObject(n), n)
			t.Errorf("VirtualNetwork %s is not gone after %s: %v: %+v", name, bootTime, err, n.Status)
			return
		}
	}
}

func getNetwork(t *testing.T, name string) func() (*v1alpha1.VirtualNetwork, error) {
	return func() (*v1alpha1.VirtualNetwork, error) {
		n := &v1alpha1.VirtualNetwork{}
		err := env.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, n)
		return n, err
	}
}

// networkSays is the network's condition in a line, for matchers.
func networkSays(n *v1alpha1.VirtualNetwork) string {
	c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionNetworkReady)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// on gives a VM a card on a network.
func on(vm *v1alpha1.VirtualMachine, card, network string) *v1alpha1.VirtualMachine {
	vm.Spec.Interfaces = append(vm.Spec.Interfaces, v1alpha1.VirtualMachineInterface{Name: card, NetworkName: network})
	return vm
}

// setCards edits spec.interfaces, as a user does.
func setCards(t *testing.T, name string, cards ...v1alpha1.VirtualMachineInterface) {
	t.Helper()
	if cards == nil {
		cards = []v1alpha1.VirtualMachineInterface{}
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"interfaces": cards}})
	if err != nil {
		t.Fatal(err)
	}
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	admitted(t, func() error {
		return env.Patch(t.Context(), vm, client.RawPatch("application/merge-patch+json", patch))
	})
}

// admitted makes a write of a VM, and makes it again while nobody can be asked whether
// to admit it: for a while after vm-scheduler was killed the API server may still call
// the one before. Whatever else goes wrong ends the test.
func admitted(t *testing.T, write func() error) {
	t.Helper()
	for deadline := time.Now().Add(settleTime); ; time.Sleep(500 * time.Millisecond) {
		err := write()
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "failed calling webhook") || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// cardAddress is the first address that was seen on a card, for matchers.
func cardAddress(card string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		for _, i := range vm.Status.Interfaces {
			for _, a := range i.Addresses {
				if i.Name == card && !strings.Contains(a, ":") {
					return a
				}
			}
		}
		return ""
	}
}

// inHost runs a program in the network and mount namespaces of the real host.
func inHost(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(env.libvirtd(t)), "--net", "--mount", "--"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
	return string(out)
}

// leftovers is all that networks leave on the real host: interfaces, DHCP servers,
// libvirt's networks, and their files, leases among them. In /run/libvirt/network
// libvirt 9.0 itself leaves an empty folder and a pid file of each network that it
// has had since the host was booted.
func leftovers(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(inHost(t, "ip", "-o", "link"), "\n") {
		if _, rest, ok := strings.Cut(line, ": "); ok {
			name, _, _ := strings.Cut(rest, ":")
			out = append(out, "interface "+name)
		}
	}
	for _, line := range strings.Split(env.virsh(t, "net-list", "--all", "--name"), "\n") {
		if name := strings.TrimSpace(line); name != "" {
			out = append(out, "network "+name)
		}
	}
	for _, dir := range []string{"/var/lib/libvirt/dnsmasq", "/etc/libvirt/qemu/networks"} {
		for _, name := range strings.Fields(inHost(t, "sh", "-c", "ls "+dir+" 2>/dev/null || true")) {
			if name != "autostart" {
				out = append(out, dir+"/"+name)
			}
		}
	}
	// Other clusters on this machine have processes of the same names.
	here, err := os.Readlink(first().network(t))
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if at, err := os.Readlink(filepath.Join(filepath.Dir(p), "ns/net")); err != nil || at != here {
			continue
		}
		if text, err := os.ReadFile(p); err == nil && strings.HasPrefix(string(text), "/usr/sbin/dnsmasq") && strings.Contains(string(text), namespace+".") {
			out = append(out, "process "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	slices.Sort(out)
	return out
}

// wide is what kubectl get vm -o wide prints of the VM.
func wide(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("kubectl", "--kubeconfig", filepath.Join(env.dir, "kubeconfig"), "--namespace", namespace, "get", "vm", name, "-o", "wide").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestNetworks follows networks from their making to their end, with real guests.
func TestNetworks(t *testing.T) {
	g := NewWithT(t)
	before := leftovers(t)
	createNetwork(t, newNetwork("out", v1alpha1.NetworkNAT, "192.168.140"))
	g.Eventually(getNetwork(t, "out")).WithTimeout(settleTime).Should(WithTransform(networkSays, HavePrefix("True NotNeeded")))
	t.Cleanup(func() { remove(t, "net-a"); remove(t, "net-b") })

	// A guest without an agent gets its lease from the host, and its address is shown.
	create(t, on(newAgentGuest(t, "net-a", nil), "lan", "out"))
	g.Eventually(get(t, "net-a")).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
	g.Eventually(get(t, "net-a")).WithTimeout(bootTime).Should(WithTransform(cardAddress("lan"), HavePrefix("192.168.140.")))
	vm, err := get(t, "net-a")()
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() string { return wide(t, "net-a") }).WithTimeout(bootTime).Should(ContainSubstring(cardAddress("lan")(vm)))
	g.Expect(vm.Status.Interfaces).To(HaveLen(1))
	g.Expect(vm.Status.Interfaces[0].MACAddress).To(Equal(vm.MACOf(&vm.Spec.Interfaces[0])))
	g.Eventually(getNetwork(t, "out")).WithTimeout(settleTime).Should(WithTransform(networkSays, HavePrefix("True NetworkReady")))
	network, err := getNetwork(t, "out")()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(network.Status.HostCount).To(Equal(int32(1)))
	g.Expect(env.virsh(t, "net-list", "--name")).To(ContainSubstring(network.LibvirtName()))
	g.Expect(len(network.Bridge())).To(BeNumerically("<=", 15))

	// Two guests on an isolated network, one card of which is plugged in while its
	// guest runs, reach each other.
	createNetwork(t, newNetwork("between", v1alpha1.NetworkIsolated, "192.168.141"))
	create(t, on(newAgentGuest(t, "net-b", nil), "inner", "between"))
	a := answers(t, "net-a")
	setCards(t, "net-a", vm.Spec.Interfaces[0], v1alpha1.VirtualMachineInterface{Name: "inner", NetworkName: "between"})
	g.Eventually(get(t, "net-a")).WithTimeout(bootTime).Should(WithTransform(func(vm *v1alpha1.VirtualMachine) int { return len(vm.Status.Interfaces) }, Equal(2)))
	g.Eventually(get(t, "net-a")).WithTimeout(settleTime).Should(WithTransform(func(vm *v1alpha1.VirtualMachine) bool {
		return meta.IsStatusConditionTrue(vm.Status.Conditions, v1alpha1.ConditionRestartRequired) ||
			meta.IsStatusConditionTrue(vm.Status.Conditions, v1alpha1.ConditionInterfacesPending)
	}, BeFalse()))
	// A guest that is slow finds the card a while after QEMU has it.
	onConsole(t, a, "cards", "until [ -e /sys/class/net/eth1 ]; do sleep 1; done; echo /sys/class/net/*")
	g.Eventually(func() string { return env.console("net-a") }).WithTimeout(bootTime).Should(ContainSubstring("eth1"), "the guest does not see the card that was plugged in")
	g.Eventually(get(t, "net-b")).WithTimeout(bootTime).Should(WithTransform(cardAddress("inner"), HavePrefix("192.168.141.")))
	b, err := get(t, "net-b")()
	g.Expect(err).NotTo(HaveOccurred())
	inGuest(t, a, "ip link set eth1 up; ip address add 192.168.141.200/24 dev eth1")
	onConsole(t, a, "pinged", "sleep 2; ping -c 3 -W 20 "+cardAddress("inner")(b)+" | grep received")
	g.Eventually(func() string { return env.console("net-a") }).WithTimeout(bootTime).Should(MatchRegexp(`pinged=3 packets transmitted, [1-3] packets received`))
	// What is isolated does not reach the other network.
	answers(t, "net-b")
	inGuest(t, b, "ip route add default via 192.168.141.1")
	onConsole(t, b, "crossed", "sleep 2; ping -c 2 -W 5 "+cardAddress("lan")(vm)+" | grep received")
	g.Eventually(func() string { return env.console("net-b") }).WithTimeout(bootTime).Should(MatchRegexp(`crossed=2 packets transmitted, 0 packets received`))

	// A card that is taken out of the spec is taken from the guest.
	setCards(t, "net-a", vm.Spec.Interfaces[0])
	g.Eventually(get(t, "net-a")).WithTimeout(bootTime).Should(WithTransform(func(vm *v1alpha1.VirtualMachine) int { return len(vm.Status.Interfaces) }, Equal(1)))
	onConsole(t, a, "left", "ls /sys/class/net | grep -c eth")
	g.Eventually(func() string { return env.console("net-a") }).WithTimeout(bootTime).Should(ContainSubstring("left=1="))
	g.Expect(qemu(a.Status.Host.DomainUUID)).NotTo(BeZero(), "the guest was restarted")

	// One that is deleted while it is in use is kept, and says by whom.
	g.Expect(env.Delete(t.Context(), network)).To(Succeed())
	g.Eventually(getNetwork(t, "out")).WithTimeout(settleTime).Should(WithTransform(networkSays, And(HavePrefix("False InUse"), ContainSubstring("net-a"))))
	g.Expect(env.virsh(t, "net-list", "--name")).To(ContainSubstring(network.LibvirtName()))

	// With their VMs networks go, and nothing of them is left.
	remove(t, "net-a")
	remove(t, "net-b")
	g.Eventually(func() bool {
		_, err := getNetwork(t, "out")()
		return apierrors.IsNotFound(err)
	}).WithTimeout(settleTime).Should(BeTrue())
	g.Eventually(func() []string { return leftovers(t) }).WithTimeout(settleTime).Should(Equal(before))
}

// TestNetworksLeakNothing has VMs and networks come and go while executor, libvirtd
// and scheduler are killed, and holds the host to what it had before.
func TestNetworksLeakNothing(t *testing.T) {
	g := NewWithT(t)
	ensureNamespace(t, namespace)
	before := leftovers(t)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	networks := []string{"leak-a", "leak-b"}
	vms := []string{"leak-1", "leak-2"}
	t.Cleanup(func() {
		g.Expect(env.up()).To(Succeed())
		for _, name := range vms {
			remove(t, name)
		}
	})
	kills := map[string]int{}
	for round := range rounds(t, 4) {
		for i, name := range networks {
			n := newNetwork(name, []v1alpha1.NetworkType{v1alpha1.NetworkNAT, v1alpha1.NetworkIsolated}[random.IntN(2)], fmt.Sprintf("192.168.%d", 150+i))
			// One that is being deleted goes with the VMs that had it, and would be missing
			// then: it is made anew.
			g.Eventually(func() error {
				err := env.Create(t.Context(), n.DeepCopy())
				if !apierrors.IsAlreadyExists(err) {
					return err
				}
				there, err := getNetwork(t, name)()
				if err == nil && there.DeletionTimestamp != nil {
					err = fmt.Errorf("VirtualNetwork %s is being deleted", name)
				}
				return err
			}).WithTimeout(settleTime).Should(Succeed())
		}
		for _, name := range vms {
			vm := newGuest(t, name)
			for i, network := range networks {
				if i == 0 || random.IntN(2) == 0 {
					on(vm, fmt.Sprintf("card%d", i), network)
				}
			}
			admitted(t, func() error { return env.Create(t.Context(), vm) })
		}
		for range 3 {
			time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
			what := []string{"vm-executor-real", "libvirtd", "vm-scheduler"}[random.IntN(3)]
			kills[what]++
			if what == "libvirtd" {
				kill(t, env.libvirtd(t))
			} else {
				env.kill(t, what)
			}
			edit := func(now bool) {
				if now {
					setCards(t, vms[0], v1alpha1.VirtualMachineInterface{Name: "card1", NetworkName: networks[1]})
				}
			}
			// While vm-scheduler is away nobody admits another spec.
			edits := random.IntN(2) == 0
			edit(edits && what != "vm-scheduler")
			g.Expect(env.up()).To(Succeed())
			edit(edits && what == "vm-scheduler")
		}
		if round%2 == 0 {
			for _, name := range vms {
				g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseRunning)))
			}
		}
		// Networks are deleted before the VMs that use them: they wait for those.
		for _, name := range networks {
			if random.IntN(2) == 0 {
				_ = env.Delete(t.Context(), newNetwork(name, v1alpha1.NetworkNAT, ""))
			}
		}
		for _, name := range vms {
			_ = env.Delete(t.Context(), newVM(name, "real"))
		}
		env.kill(t, "vm-executor-real")
		g.Expect(env.up()).To(Succeed())
		for _, name := range vms {
			remove(t, name)
		}
	}
	for _, name := range networks {
		removeNetwork(t, name)
	}
	t.Logf("killed: %v", kills)
	g.Eventually(func() []string { return leftovers(t) }).WithTimeout(settleTime).Should(Equal(before))
}
