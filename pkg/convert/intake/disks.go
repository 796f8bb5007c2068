package intake

import (
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
)

// disks makes files, devices and Ceph images that are volumes of a known pool
// such volumes, and says the format that libvirt would take.
func (s *state) disks() {
	for i := range s.domain.Devices.Disks {
		disk, here := &s.domain.Devices.Disks[i], at("devices", "disks").Index(i)
		if source := disk.Source; source != nil {
			if empty(source) {
				disk.Source = nil
			} else {
				s.volume(source, here.Child("source"))
			}
		}
		s.format(disk, here.Child("driver"))
	}
}

// empty says whether a source names a file by an empty name: an empty drive.
func empty(source *libvirtxml.DomainDiskSource) bool {
	if source.File != nil {
		return source.File.File == "" && source.File.FDGroup == ""
	}
	return source.Block != nil && source.Block.Dev == ""
}

func (s *state) volume(source *libvirtxml.DomainDiskSource, here *field.Path) {
	var pool, volume, was string
	switch {
	case source.File != nil:
		was = source.File.File
		pool, volume = s.byPath(was)
	case source.Block != nil:
		was = source.Block.Dev
		pool, volume = s.byPath(was)
	case source.Network != nil && source.Network.Protocol == "rbd":
		was = "the Ceph image " + source.Network.Name
		pool, volume = s.byCeph(source.Network.Name)
	}
	if pool == "" {
		return
	}
	source.File, source.Block, source.Network = nil, nil, nil
	source.Volume = &libvirtxml.DomainDiskSourceVolume{Pool: pool, Volume: volume}
	s.changed(here, fmt.Sprintf("%s became volume %s of pool %s", was, volume, pool), "disks are named by pool and volume, which every host can look up")
}

// byPath finds the pool in whose folder a file is. Volumes are the files right
// in it.
func (s *state) byPath(file string) (pool, volume string) {
	if !path.IsAbs(file) {
		return "", ""
	}
	dir, name := path.Split(path.Clean(file))
	for _, p := range s.opts.Pools {
		if p.Path != "" && path.Clean(p.Path) == path.Clean(dir) {
			return p.Name, name
		}
	}
	return "", ""
}

func (s *state) byCeph(image string) (pool, volume string) {
	in, name, ok := strings.Cut(image, "/")
	if !ok || name == "" {
		return "", ""
	}
	for _, p := range s.opts.Pools {
		if p.Ceph != "" && p.Ceph == in {
			return p.Name, name
		}
	}
	return "", ""
}

// format says raw where nothing is said and libvirt takes raw for it.
func (s *state) format(disk *libvirtxml.DomainDisk, here *field.Path) {
	if disk.Source == nil || disk.Driver != nil && disk.Driver.Type != "" {
		return
	}
	if disk.Source.VHostUser != nil || disk.Source.VHostVDPA != nil || disk.Source.NVME != nil || disk.Source.Dir != nil {
		return
	}
	if disk.Driver == nil {
		disk.Driver = &libvirtxml.DomainDiskDriver{}
	}
	disk.Driver.Type = "raw"
	s.changed(here.Child("type"), "set to raw", "libvirt takes a disk for raw when nothing is said")
}
