package importer

import (
	"encoding/xml"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/intake"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
)

// neighbourhood is what the pools and networks beside the domains tell of where
// their disks and network interfaces lead.
func neighbourhood(read []libvirtdoc.ReadFound) intake.Options {
	opts := intake.Options{Networks: map[string]string{}}
	for _, r := range read {
		switch r.Object.(type) {
		case *v1alpha1.StoragePool:
			var pool libvirtxml.StoragePool
			if text, err := objects.ToXML(r.Object, objects.ToOptions{Bare: true}); err == nil && xml.Unmarshal(text, &pool) == nil {
				opts.Pools = append(opts.Pools, poolOf(&pool))
			}
		case *v1alpha1.VirtualNetwork:
			var network libvirtxml.Network
			if text, err := objects.ToXML(r.Object, objects.ToOptions{Bare: true}); err == nil && xml.Unmarshal(text, &network) == nil {
				for _, device := range devicesOf(&network) {
					// Of several the first that is named counts.
					if _, known := opts.Networks[device]; !known {
						opts.Networks[device] = network.Name
					}
				}
			}
		}
	}
	return opts
}

func poolOf(pool *libvirtxml.StoragePool) intake.Pool {
	out := intake.Pool{Name: pool.Name}
	if pool.Target != nil {
		out.Path = pool.Target.Path
	}
	if pool.Type == "rbd" && pool.Source != nil {
		out.Ceph = pool.Source.Name
	}
	return out
}

// devicesOf are the bridge of a network, or what it forwards to.
func devicesOf(network *libvirtxml.Network) []string {
	var out []string
	if network.Bridge != nil && network.Bridge.Name != "" {
		out = append(out, network.Bridge.Name)
	}
	if f := network.Forward; f != nil && (f.Mode == "bridge" || f.Mode == "private" || f.Mode == "vepa" || f.Mode == "passthrough") {
		if f.Dev != "" {
			out = append(out, f.Dev)
		}
		for _, i := range f.Interfaces {
			out = append(out, i.Dev)
		}
	}
	return out
}

// snapshotsByDomain counts the snapshots that the old host knows of each domain.
func snapshotsByDomain(read []libvirtdoc.ReadFound) map[string]int {
	out := map[string]int{}
	for _, r := range read {
		if _, is := r.Object.(*v1alpha1.VirtualMachineSnapshot); is && r.Found.Parent != "" {
			out[r.Found.Parent]++
		}
	}
	return out
}
