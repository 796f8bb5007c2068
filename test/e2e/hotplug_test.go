package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// withMachine has the guest be of a machine type.
func withMachine(t *testing.T, vm *v1alpha1.VirtualMachine, machine string) *v1alpha1.VirtualMachine {
	t.Helper()
	doc := map[string]any{}
	if err := json.Unmarshal(vm.Spec.Domain.Raw, &doc); err != nil {
		t.Fatal(err)
	}
	doc["os"] = map[string]any{"type": map[string]any{"machine": machine}}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	vm.Spec.Domain.Raw = raw
	return vm
}

// setDisks edits spec.disks, as a user does.
func setDisks(t *testing.T, name string, disks ...v1alpha1.VirtualMachineDisk) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"disks": disks}})
	if err != nil {
		t.Fatal(err)
	}
	vm := &v1alpha1.VirtualMachine{}
	vm.Namespace, vm.Name = namespace, name
	if err := env.Patch(t.Context(), vm, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		t.Fatal(err)
	}
}

// guestDisks are the disks that a VM's host says its guest has, as name=VirtualDisk.
func guestDisks(vm *v1alpha1.VirtualMachine) []string {
	out := []string{}
	if vm.Status.Host != nil {
		for _, d := range vm.Status.Host.Disks {
			out = append(out, d.Name+"="+d.DiskName)
		}
	}
	return out
}

// vmSays is a condition of a VM in a line, for matchers; empty when it is absent.
func vmSays(kind string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		c := meta.FindStatusCondition(vm.Status.Conditions, kind)
		if c == nil {
			return ""
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
	}
}

// isAsSpec says that the guest runs with what the VM's spec says.
func isAsSpec(vm *v1alpha1.VirtualMachine) bool {
	return vm.Status.ObservedGeneration == vm.Generation && vmSays(v1alpha1.ConditionRestartRequired)(vm) == "" && vmSays(v1alpha1.ConditionDisksPending)(vm) == ""
}

var asks int

// hear has the guest run a command and say what came of it on its serial console.
func hear(t *testing.T, vm *v1alpha1.VirtualMachine, command string) string {
	t.Helper()
	asks++
	key := fmt.Sprintf("ANSWER-%d", asks)
	onConsole(t, vm, key, command)
	for deadline := time.Now().Add(settleTime); ; time.Sleep(100 * time.Millisecond) {
		_, rest, found := strings.Cut(env.console(vm.Name), key+"=")
		if answer, _, whole := strings.Cut(rest, "="); found && whole {
			return strings.TrimSpace(answer)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the guest did not answer %q in %s", command, settleTime)
		}
	}
}

// bySerial prints the sizes, in sectors, of the virtio disks with the serial number.
func bySerial(serial string) string {
	return `for d in /sys/block/vd*; do [ "$(cat $d/serial)" = ` + serial + ` ] && cat $d/size; done`
}

// TestDiskHotPlug plugs disks into guests that run, and out, on both kinds of PC.
func TestDiskHotPlug(t *testing.T) {
	for _, machine := range []string{"pc", "q35"} {
		t.Run(machine, func(t *testing.T) { hotPlug(t, machine) })
	}
}

func hotPlug(t *testing.T, machine string) {
	g := NewWithT(t)
	name, other := "plugged-"+machine, "plugged-too-"+machine
	first, second := "first-"+machine, "second-"+machine
	createDisk(t, newDisk(first, "64Mi"))
	createDisk(t, newDisk(second, "32Mi"))
	t.Cleanup(func() { remove(t, name); remove(t, other) })
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, vm := range []string{name, other} {
			if vm, err := get(t, vm)(); err == nil {
				t.Logf("VM %s: %+v", vm.Name, vm.Status)
			}
			t.Logf("its console:\n%s", env.console(vm))
		}
	})
	create(t, withMachine(t, newAgentGuest(t, name, nil), machine))
	vm := answers(t, name)

	// One that is at home nowhere comes to be on the guest's host, and in the guest.
	began := time.Now()
	data := v1alpha1.VirtualMachineDisk{Name: "data", DiskName: first, Serial: "first"}
	setDisks(t, name, data)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(WithTransform(guestDisks, Equal([]string{"data=" + first})), WithTransform(isAsSpec, BeTrue())))
	t.Logf("plugged in after %s", time.Since(began).Round(100*time.Millisecond))
	d, err := getDisk(t, first)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(d.Status.ClaimedBy).To(Equal(&v1alpha1.DiskClaim{Name: name, UID: vm.UID}))
	g.Expect(d.Status.NodeName).To(Equal(vm.Status.Placement.NodeName))
	g.Eventually(func() string { return hear(t, vm, bySerial("first")) }).WithTimeout(settleTime).Should(Equal("131072"))
	hear(t, vm, "echo "+secret+" >/dev/vdb; sync; echo written")

	// A restart keeps it, on the same host and in the same place.
	setPower(t, name, v1alpha1.PowerStopped)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	setPower(t, name, v1alpha1.PowerRunning)
	after := answers(t, name)
	g.Expect(after.Status.Epoch).To(Equal(vm.Status.Epoch), "it was placed anew for a disk")
	vm = after
	g.Expect(hear(t, vm, "head -c 20 /dev/vdb")).To(Equal(secret))
	process := qemu(vm.Status.Host.DomainUUID)

	// The executor is killed amid: the disk comes all the same, and once.
	setDisks(t, name, data, v1alpha1.VirtualMachineDisk{Name: "more", DiskName: second, Serial: "second"})
	time.Sleep(300 * time.Millisecond)
	env.kill(t, "vm-executor-real")
	g.Expect(env.up()).To(Succeed())
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(WithTransform(guestDisks, ConsistOf("data="+first, "more="+second)), WithTransform(isAsSpec, BeTrue())))
	g.Eventually(func() string { return hear(t, vm, bySerial("second")) }).WithTimeout(settleTime).Should(Equal("65536"))

	// The first is taken away: the guest loses it, and another VM can have it.
	began = time.Now()
	setDisks(t, name, v1alpha1.VirtualMachineDisk{Name: "more", DiskName: second, Serial: "second"})
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(And(WithTransform(guestDisks, Equal([]string{"more=" + second})), WithTransform(isAsSpec, BeTrue())))
	t.Logf("given up after %s", time.Since(began).Round(100*time.Millisecond))
	g.Expect(hear(t, vm, bySerial("first")+"; echo none")).To(Equal("none"))
	g.Eventually(getDisk(t, first)).WithTimeout(settleTime).Should(HaveField("Status.ClaimedBy", BeNil()))
	g.Expect(qemu(vm.Status.Host.DomainUUID)).To(Equal(process), "the guest was started anew")
	create(t, withDisk(newAgentGuest(t, other, nil), first))
	g.Expect(hear(t, answers(t, other), "head -c 20 /dev/vdb")).To(Equal(secret))

	// What the other VM has the first cannot have, and says so until it can.
	setDisks(t, name, data)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(vmSays(v1alpha1.ConditionDiskClaimsPending),
		ContainSubstring("True DiskInUse: VirtualDisk "+first+" has a single writer, VirtualMachine "+other)))
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(vmSays(v1alpha1.ConditionDisksPending), HavePrefix("True WaitingForDisks: VirtualDisk "+first+" is not this VM's")))
	setDisks(t, other)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(And(
		WithTransform(guestDisks, Equal([]string{"data=" + first})), WithTransform(isAsSpec, BeTrue()),
		WithTransform(vmSays(v1alpha1.ConditionDiskClaimsPending), BeEmpty())))
	g.Expect(hear(t, vm, "for d in /sys/block/vd*; do [ $(cat $d/serial) = first ] && head -c 20 /dev/${d##*/}; done")).To(Equal(secret))
}

// TestDiskHotPlugOfAGuestThatDoesNotListen has a guest that is nothing but its
// firmware, which finds nothing to boot from and hears nothing: what it has it keeps,
// and so does the claim.
func TestDiskHotPlugOfAGuestThatDoesNotListen(t *testing.T) {
	g := NewWithT(t)
	const name = "deaf"
	createDisk(t, newDisk("kept", "32Mi"))
	t.Cleanup(func() { remove(t, name) })
	vm := newVM(name, "real")
	vm.Spec.Disks = []v1alpha1.VirtualMachineDisk{{Name: "data", DiskName: "kept"}}
	vm.Spec.TerminationGracePeriodSeconds = new(int64)
	create(t, vm)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(And(WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(guestDisks, Equal([]string{"data=kept"}))))
	setDisks(t, name)
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(WithTransform(vmSays(v1alpha1.ConditionDisksPending), HavePrefix("True WaitingForGuest: the guest was asked to give up disk data (VirtualDisk kept) and has it still")))
	g.Consistently(getDisk(t, "kept")).WithTimeout(stillTime).Should(HaveField("Status.ClaimedBy", Not(BeNil())))
	now, err := get(t, name)()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(guestDisks(now)).To(Equal([]string{"data=kept"}))
	// A start anew goes without it.
	setPower(t, name, v1alpha1.PowerStopped)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	g.Eventually(getDisk(t, "kept")).WithTimeout(settleTime).Should(HaveField("Status.ClaimedBy", BeNil()))
	setPower(t, name, v1alpha1.PowerRunning)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(And(WithTransform(phase, Equal(v1alpha1.PhaseRunning)), WithTransform(isAsSpec, BeTrue())))
	g.Expect(env.domain(t, now.Status.Host.DomainUUID).Devices.Disks).To(BeEmpty())
}

// TestDiskHotPlugOfACDROM changes what is in a guest's drive.
func TestDiskHotPlugOfACDROM(t *testing.T) {
	g := NewWithT(t)
	const name = "drive"
	for _, d := range []struct{ name, size string }{{"one", "8Mi"}, {"two", "16Mi"}} {
		createDisk(t, newDisk(d.name, d.size, func(d *v1alpha1.VirtualDisk) { d.Spec.AccessMode = v1alpha1.DiskSharedReadOnly }))
	}
	t.Cleanup(func() { remove(t, name) })
	drive := func(disk string) v1alpha1.VirtualMachineDisk {
		return v1alpha1.VirtualMachineDisk{Name: "cd", DiskName: disk, Type: v1alpha1.DeviceCDROM, Bus: v1alpha1.BusSCSI}
	}
	vm := newAgentGuest(t, name, map[string]any{"controllers": []any{map[string]any{"type": "scsi", "model": "virtio-scsi"}}})
	vm.Spec.Disks = []v1alpha1.VirtualMachineDisk{drive("")}
	create(t, vm)
	vm = answers(t, name)
	t.Cleanup(func() {
		if now, err := get(t, name)(); err == nil && t.Failed() {
			t.Logf("%+v, its console:\n%s", now.Status, env.console(name))
		}
	})
	size := func() string {
		return hear(t, vm, "dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null; cat /sys/block/sr0/size")
	}
	for _, step := range []struct{ disk, sectors string }{{"one", "16384"}, {"two", "32768"}} {
		setDisks(t, name, drive(step.disk))
		g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(WithTransform(guestDisks, Equal([]string{"cd=" + step.disk})), WithTransform(isAsSpec, BeTrue())))
		g.Eventually(size).WithTimeout(settleTime).Should(Equal(step.sectors))
	}
	setDisks(t, name, drive(""))
	g.Eventually(get(t, name)).WithTimeout(settleTime).Should(And(WithTransform(guestDisks, Equal([]string{"cd="})), WithTransform(isAsSpec, BeTrue())))
	g.Expect(hear(t, vm, "dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null && echo there || echo empty")).To(Equal("empty"))
	// No other entry may be without a disk.
	err := env.Patch(t.Context(), vm, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"disks":[{"name":"data"}]}}`)))
	g.Expect(apierrors.IsInvalid(err)).To(BeTrue())
	g.Expect(err).To(MatchError(ContainSubstring("name a VirtualDisk; only a cdrom may be empty")))
}
