package hostcompatibility

import (
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/rejections"
)

// words makes a demand's words: hosts "have" what a host "has".
func words(what, have, has, name string) demand {
	return demand{what: what, name: name, reason: "host(s) " + have + " no " + what, none: rejections.NoHost + has + " " + what}
}

// listed demands a name of a list that comes with the kind of guest.
func listed(what, name string, list func(*v1alpha1.DomainType) []string) demand {
	d := words(what, "have", "has", name)
	d.ofGuest = true
	d.met = func(_ *v1alpha1.HypervisorStatus, t *v1alpha1.DomainType) bool {
		return t == nil || len(list(t)) == 0 || contains(list(t), name)
	}
	d.offers = func(_ *v1alpha1.HypervisorStatus, t *v1alpha1.DomainType) []string {
		if t == nil {
			return nil
		}
		return list(t)
	}
	return d
}

// contains finds a name in a list. Executors write lists sorted, hundreds of
// names long; one that is not sorted is read from end to end.
func contains(list []string, name string) bool {
	_, found := slices.BinarySearch(list, name)
	return found || slices.Contains(list, name)
}

// ofKind demands a kind of virtualization, an architecture, or both.
func ofKind(kind, arch string) demand {
	what := "guests"
	if kind != "" {
		what = clip(kind) + " guests"
	}
	if arch != "" {
		what += " for " + clip(arch)
	}
	d := words(what, "run", "runs", kind+arch)
	d.met = func(_ *v1alpha1.HypervisorStatus, t *v1alpha1.DomainType) bool { return t != nil }
	d.offers = func(hv *v1alpha1.HypervisorStatus, _ *v1alpha1.DomainType) []string {
		var names []string
		for i := range hv.DomainTypes {
			names = append(names, hv.DomainTypes[i].Type+" for "+hv.DomainTypes[i].Arch)
		}
		return names
	}
	return d
}

// ofMachine demands a machine type. Hosts list canonical names; users also write
// aliases.
func ofMachine(name string) demand {
	d := listed("machine type "+clip(name), name, func(t *v1alpha1.DomainType) []string { return t.Machines })
	d.met = func(_ *v1alpha1.HypervisorStatus, t *v1alpha1.DomainType) bool {
		return t == nil || len(t.Machines) == 0 || hasMachine(t.Machines, name)
	}
	return d
}

// families are QEMU's machine types that come in versions, by the alias of the
// newest; versions are prefix and version.
var families = []struct{ alias, prefix string }{
	{"q35", "pc-q35-"},
	{"pc", "pc-i440fx-"},
	{"virt", "virt-"},
	{"pseries", "pseries-"},
	{"s390-ccw-virtio", "s390-ccw-virtio-"},
}

// hasMachine says whether libvirt may take the name of a machine type on a host
// with these. Distributions have aliases of their own, which nothing lists: only
// a name of a known family is told to be missing.
func hasMachine(machines []string, name string) bool {
	if contains(machines, name) {
		return true
	}
	for _, f := range families {
		switch {
		case name == f.alias:
			return slices.ContainsFunc(machines, func(m string) bool { return strings.HasPrefix(m, f.prefix) })
		case strings.HasPrefix(name, f.prefix):
			return false
		}
	}
	return true
}

// ofSecureBoot demands firmware with Secure Boot. A host that lists no firmware
// does not say either whether it has that.
func ofSecureBoot() demand {
	d := words("firmware with Secure Boot", "have", "has", "")
	d.ofGuest = true
	d.met = func(_ *v1alpha1.HypervisorStatus, t *v1alpha1.DomainType) bool {
		return t == nil || len(t.Firmware) == 0 || t.SecureBoot
	}
	return d
}

// ofDevice demands that the host offer devices of a name at all; how many are
// free is HostNUMA's to count. A host that lists no devices offers none.
func ofDevice(name string) demand {
	d := words("device "+clip(name), "offer", "offers", name)
	d.ofHost = true
	d.met = func(hv *v1alpha1.HypervisorStatus, _ *v1alpha1.DomainType) bool {
		for i := range hv.Devices {
			if hv.Devices[i].Name == name {
				return true
			}
		}
		return false
	}
	d.offers = func(hv *v1alpha1.HypervisorStatus, _ *v1alpha1.DomainType) []string {
		var names []string
		for i := range hv.Devices {
			names = append(names, hv.Devices[i].Name)
		}
		return names
	}
	return d
}
