package libvirt

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// guestCapabilities is what one kind of guest can have, from libvirt's document
// of domain capabilities.
type guestCapabilities struct {
	cpuModels []string
	// hostModel is the CPU that mode host-model stands for, as a document of
	// libvirt's; empty where that mode is not there. features are those that it
	// names beside its model, which has others.
	hostModel  string
	features   []string
	firmware   []string
	secureBoot bool
}

func parseDomainCapabilities(doc string) (guestCapabilities, error) {
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(doc); err != nil {
		return guestCapabilities{}, fmt.Errorf("reading libvirt's domain capabilities: %w", err)
	}
	var out guestCapabilities
	if caps.OS != nil {
		out.firmware = values(caps.OS.Enums, "firmware")
		// There may be such a loader by its path alone, but a guest that asks for
		// efi with Secure Boot leaves it to libvirt to find the file.
		out.secureBoot = caps.OS.Loader != nil && slices.Contains(out.firmware, "efi") &&
			slices.Contains(values(caps.OS.Loader.Enums, "secure"), "yes")
	}
	if caps.CPU == nil {
		return out, nil
	}
	for _, mode := range caps.CPU.Modes {
		if mode.Supported != "yes" {
			continue
		}
		switch mode.Name {
		case "custom":
			for _, m := range mode.Models {
				if m.Usable == "yes" {
					out.cpuModels = append(out.cpuModels, m.Name)
				}
			}
			slices.Sort(out.cpuModels)
		case "host-model":
			cpu := hostModel(mode)
			out.features = required(cpu)
			if cpu.Model == nil {
				continue
			}
			var err error
			if out.hostModel, err = cpu.Marshal(); err != nil {
				return guestCapabilities{}, fmt.Errorf("writing the host's CPU model: %w", err)
			}
		}
	}
	return out, nil
}

func hostModel(mode libvirtxml.DomainCapsCPUMode) *libvirtxml.DomainCPU {
	out := &libvirtxml.DomainCPU{Mode: "custom", Match: "exact", Vendor: mode.Vendor}
	if len(mode.Models) > 0 {
		out.Model = &libvirtxml.DomainCPUModel{Value: mode.Models[0].Name, Fallback: mode.Models[0].Fallback}
	}
	for _, f := range mode.Features {
		out.Features = append(out.Features, libvirtxml.DomainCPUFeature(f))
	}
	return out
}

// required are the features that a CPU has, sorted.
func required(cpu *libvirtxml.DomainCPU) []string {
	var out []string
	for _, f := range cpu.Features {
		if f.Policy == "require" {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return out
}

// parseCPUFeatures reads the features of a <cpu> document, sorted.
func parseCPUFeatures(doc string) ([]string, error) {
	var cpu libvirtxml.DomainCPU
	if err := cpu.Unmarshal(doc); err != nil {
		return nil, fmt.Errorf("reading a CPU's features: %w", err)
	}
	return required(&cpu), nil
}

func values(enums []libvirtxml.DomainCapsEnum, name string) []string {
	for _, e := range enums {
		if e.Name == name {
			return slices.Sorted(slices.Values(e.Values))
		}
	}
	return nil
}

// capableMachine is the machine type to ask libvirt about: the one that can
// have most. A PC of the older kind, which is libvirt's default, has no Secure
// Boot. Empty leaves it to libvirt.
func capableMachine(machines []string) string {
	for _, m := range machines {
		switch {
		case strings.HasPrefix(m, "pc-q35-"):
			return "q35"
		case m == "virt", strings.HasPrefix(m, "virt-"):
			return "virt"
		}
	}
	return ""
}
