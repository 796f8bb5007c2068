package convert

import "libvirt.org/go/libvirtxml"

// setOS makes the guest a full virtual machine of the host's architecture and
// machine type, where the user named none.
func setOS(domain *libvirtxml.Domain, host HostDefaults) {
	if domain.OS == nil {
		domain.OS = &libvirtxml.DomainOS{}
	}
	if domain.OS.Type == nil {
		domain.OS.Type = &libvirtxml.DomainOSType{}
	}
	t := domain.OS.Type
	if t.Type == "" {
		t.Type = "hvm"
	}
	if t.Arch == "" {
		t.Arch = host.Arch
	}
	// A machine type belongs to its architecture: another architecture's
	// default is libvirt's to choose.
	if t.Machine == "" && t.Arch == host.Arch {
		t.Machine = host.Machine
	}
}

// setLifecycle says what becomes of the domain when the guest ends it. Crashed
// and switched-off guests are gone for libvirt, so that the executor sees them
// end and decides on starting them again.
func setLifecycle(domain *libvirtxml.Domain) {
	for _, on := range []struct {
		action *string
		value  string
	}{
		{&domain.OnPoweroff, "destroy"},
		{&domain.OnReboot, "restart"},
		{&domain.OnCrash, "destroy"},
	} {
		if *on.action == "" {
			*on.action = on.value
		}
	}
}

// setFeatures turns ACPI and APIC on for PCs, without which a guest can neither
// be shut down by its power button nor use more than one CPU well. A user who
// lists features gets just those.
func setFeatures(domain *libvirtxml.Domain) {
	if domain.Features != nil || domain.OS.Type.Arch != "x86_64" {
		return
	}
	domain.Features = &libvirtxml.DomainFeatureList{
		ACPI: &libvirtxml.DomainFeature{},
		APIC: &libvirtxml.DomainFeatureAPIC{},
	}
}

// setClock starts the guest's clock at UTC.
func setClock(domain *libvirtxml.Domain) {
	if domain.Clock == nil {
		domain.Clock = &libvirtxml.DomainClock{Offset: "utc"}
	}
}
