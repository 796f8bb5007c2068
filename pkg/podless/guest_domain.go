package podless

import (
	"encoding/json"
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// domainParts are the parts of spec.domain from which a Guest is made, in the
// keys of docs/domain-yaml.md. Reading all of libvirt's domain for them would
// cost more than all else that is done with a VM that is seen.
type domainParts struct {
	Type string `json:"type"`
	OS   struct {
		Type struct {
			Arch    string `json:"arch"`
			Machine string `json:"machine"`
		} `json:"type"`
		Firmware     string `json:"firmware"`
		FirmwareInfo struct {
			Features []struct {
				Enabled string `json:"enabled"`
				Name    string `json:"name"`
			} `json:"features"`
		} `json:"firmwareInfo"`
		Loader struct {
			Path   string `json:"path"`
			Secure string `json:"secure"`
		} `json:"loader"`
	} `json:"os"`
	CPU struct {
		Mode  string `json:"mode"`
		Check string `json:"check"`
		Model struct {
			Value string `json:"value"`
		} `json:"model"`
		Features []cpuFeature `json:"features"`
	} `json:"cpu"`
}

type cpuFeature struct {
	Policy string `json:"policy"`
	Name   string `json:"name"`
}

// guestOf reads what matters here of spec.domain. A domain that cannot be read
// asks for nothing: a host says what is wrong with it.
func guestOf(vm *v1alpha1.VirtualMachine) Guest {
	if vm.Spec.Domain == nil {
		return Guest{}
	}
	var d domainParts
	if json.Unmarshal(vm.Spec.Domain.Raw, &d) != nil {
		return Guest{}
	}
	guest := Guest{Type: d.Type, Arch: d.OS.Type.Arch, Machine: d.OS.Type.Machine}
	guest.CPUModel, guest.CPUFeatures = d.cpu()
	guest.Firmware, guest.SecureBoot = d.firmware()
	return guest
}

// cpu is the model and the features without which libvirt starts no such guest
// (https://libvirt.org/formatdomain.html#cpu-model-and-topology).
func (d *domainParts) cpu() (model, features string) {
	// Asked not to look, libvirt leaves it to the hypervisor, which leaves out
	// what it does not have.
	if d.CPU.Check == "none" {
		return "", ""
	}
	// Only mode custom, which is the default, names a model; others have the
	// host's own or as much as the hypervisor can.
	if d.CPU.Mode == "" || d.CPU.Mode == "custom" {
		model = d.CPU.Model.Value
	}
	var required []string
	for _, f := range d.CPU.Features {
		switch f.Policy {
		case "", "require":
			required = append(required, f.Name)
		case "disable", "optional", "forbid":
			// A model without some of its features can be had on hosts that do
			// not have it whole. Only libvirt knows which features it has.
			model = ""
		}
		// With force the guest is told that it has the feature, wherever it runs.
	}
	slices.Sort(required)
	return model, strings.Join(slices.Compact(required), ",")
}

// firmware is what libvirt has to choose firmware by. Firmware that is named by
// its path is not chosen.
func (d *domainParts) firmware() (kind string, secureBoot bool) {
	if d.OS.Loader.Path != "" {
		return "", false
	}
	secureBoot = d.OS.Loader.Secure == "yes"
	for _, f := range d.OS.FirmwareInfo.Features {
		secureBoot = secureBoot || f.Name == "secure-boot" && f.Enabled == "yes"
	}
	return d.OS.Firmware, secureBoot
}
