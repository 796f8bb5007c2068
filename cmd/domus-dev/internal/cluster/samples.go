package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/machine"
	"domus.dev/domus/cmd/domus-dev/internal/manifest"
	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// DemoNamespace holds the sample VMs.
const DemoNamespace = "demo"

// demoSamples is the folder of the demo's objects among the samples.
const demoSamples = "demo"

func (u *upper) applySamples(ctx context.Context) error {
	samples, err := manifests.Samples()
	if err != nil {
		return fmt.Errorf("reading the built-in samples: %w", err)
	}
	demo, err := fs.Sub(samples, demoSamples)
	if err != nil {
		return fmt.Errorf("reading the built-in samples: %w", err)
	}
	objects, err := manifest.Load(demo)
	if err != nil {
		return err
	}
	if err := manifest.Apply(ctx, u.admin, objects); err != nil {
		return err
	}
	u.say.Say("samples", "%d objects applied in namespace %s", len(objects), DemoNamespace)
	return nil
}

// waitSamples waits until every sample VM runs, and every guest among them has
// said so on its console.
func (u *upper) waitSamples(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, u.Timeout)
	defer cancel()
	last := ""
	for {
		list := &v1alpha1.VirtualMachineList{}
		err := u.admin.List(ctx, list, client.InNamespace(DemoNamespace))
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("looking at the sample VMs: %w", err)
		}
		guests, silent := u.consoles(list.Items)
		now := fmt.Sprintf("%s; %d of %d guests have booted", phases(list.Items), guests-len(silent), guests)
		if err == nil && now != last {
			u.say.Say("samples", "%s", now)
			last = now
		}
		if err == nil && allRunning(list.Items) && len(silent) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the samples are not all up after %s: %s.%s\nRun kubectl --kubeconfig %s describe vm -n %s for the reasons",
				u.Timeout, last, reasons(list.Items, silent), u.Layout.AdminKubeconfig(), DemoNamespace)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// consoles counts the VMs on the real host, and names those whose console has
// not shown the guest's banner.
func (u *upper) consoles(vms []v1alpha1.VirtualMachine) (guests int, silent []string) {
	for i := range vms {
		p := vms[i].Status.Placement
		if p == nil || p.NodeName != component.RealNode {
			continue
		}
		guests++
		if !u.booted(&vms[i]) {
			silent = append(silent, vms[i].Name)
		}
	}
	return guests, silent
}

// booted looks for the banner in the guest's console log.
func (u *upper) booted(vm *v1alpha1.VirtualMachine) bool {
	content, err := os.ReadFile(u.Layout.Console(vm.Namespace, vm.Name))
	return err == nil && bytes.Contains(content, []byte(machine.Banner))
}

func allRunning(vms []v1alpha1.VirtualMachine) bool {
	for i := range vms {
		if vms[i].Status.Phase != v1alpha1.PhaseRunning {
			return false
		}
	}
	return len(vms) > 0
}

// phases counts VMs by phase: "2 Running, 1 Pending".
func phases(vms []v1alpha1.VirtualMachine) string {
	if len(vms) == 0 {
		return "none"
	}
	counts := map[v1alpha1.Phase]int{}
	for i := range vms {
		counts[vms[i].Status.Phase]++
	}
	var out []string
	for phase, n := range counts {
		out = append(out, fmt.Sprintf("%d %s", n, phase))
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

// reasons lists what the VMs that do not run say about it, a line each.
func reasons(vms []v1alpha1.VirtualMachine, silent []string) string {
	var b strings.Builder
	for i := range vms {
		vm := &vms[i]
		if vm.Status.Phase == v1alpha1.PhaseRunning {
			continue
		}
		fmt.Fprintf(&b, "\n  %s is %s", vm.Name, vm.Status.Phase)
		for _, c := range vm.Status.Conditions {
			if c.Status != "True" {
				fmt.Fprintf(&b, "; %s: %s %s", c.Type, c.Reason, c.Message)
			}
		}
	}
	for _, name := range silent {
		fmt.Fprintf(&b, "\n  %s has not booted: its console shows no %s", name, machine.Banner)
	}
	return b.String()
}
