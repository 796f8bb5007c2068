package objects

import (
	"math"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/xmldoc"
)

type poolConcern = concern[libvirtxml.StoragePool, *v1alpha1.StoragePool]

var poolPath = field.NewPath("spec", "pool")

// pools are storage pools.
var pools = &mapping[libvirtxml.StoragePool, *v1alpha1.StoragePool]{
	kind: xmldoc.KindPool,
	empty: func() *v1alpha1.StoragePool {
		pool := &v1alpha1.StoragePool{}
		pool.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("StoragePool"))
		return pool
	},
	at:       poolPath,
	part:     func(pool *v1alpha1.StoragePool) **runtime.RawExtension { return &pool.Spec.Pool },
	concerns: []poolConcern{poolIdentity, poolTarget, poolSource},
	whole:    []string{"/source/host", "/source/device"},
}

// poolIdentity is the type, <name> and <uuid>.
var poolIdentity = poolConcern{
	lift: func(doc *libvirtxml.StoragePool, pool *v1alpha1.StoragePool) {
		liftName(&doc.Name, pool)
		liftUUID(&doc.UUID, &pool.Spec.UUID)
		switch t := v1alpha1.PoolType(doc.Type); t {
		case v1alpha1.PoolDir, v1alpha1.PoolFS, v1alpha1.PoolNetFS, v1alpha1.PoolLogical, v1alpha1.PoolISCSI, v1alpha1.PoolRBD, v1alpha1.PoolZFS:
			pool.Spec.Type, doc.Type = t, ""
		}
	},
	lower: func(pool *v1alpha1.StoragePool, doc *libvirtxml.StoragePool) field.ErrorList {
		errs := lowerName(pool, &doc.Name, poolPath)
		errs = append(errs, lowerUUID(pool.Spec.UUID, &doc.UUID, poolPath)...)
		return append(errs, lowerText(string(pool.Spec.Type), &doc.Type, poolPath.Child("type"), "spec.type")...)
	},
}

// lowerText gives a document a text of its object.
func lowerText(from string, to *string, at *field.Path, typed string) field.ErrorList {
	if from == "" {
		return nil
	}
	if *to != "" && *to != from {
		return field.ErrorList{givenTwice(at, *to, typed)}
	}
	*to = from
	return nil
}

// poolTarget is <target><path>.
var poolTarget = poolConcern{
	lift: func(doc *libvirtxml.StoragePool, pool *v1alpha1.StoragePool) {
		if doc.Target == nil {
			return
		}
		pool.Spec.TargetPath, doc.Target.Path = doc.Target.Path, ""
		if *doc.Target == (libvirtxml.StoragePoolTarget{}) {
			doc.Target = nil
		}
	},
	lower: func(pool *v1alpha1.StoragePool, doc *libvirtxml.StoragePool) field.ErrorList {
		if pool.Spec.TargetPath == "" {
			return nil
		}
		if doc.Target == nil {
			doc.Target = &libvirtxml.StoragePoolTarget{}
		}
		return lowerText(pool.Spec.TargetPath, &doc.Target.Path, poolPath.Child("target", "path"), "spec.targetPath")
	},
}

// poolSource is <source>. Lists of which an item says more than the fields do
// stay in the rest as a whole.
var poolSource = poolConcern{
	lift: func(doc *libvirtxml.StoragePool, pool *v1alpha1.StoragePool) {
		if doc.Source == nil {
			return
		}
		from, to := doc.Source, v1alpha1.PoolSource{}
		to.Name, from.Name = from.Name, ""
		if from.Dir != nil {
			to.Directory, from.Dir = from.Dir.Path, nil
		}
		if from.Format != nil {
			to.Format, from.Format = from.Format.Type, nil
		}
		if hosts, ok := poolHosts(from.Host); ok {
			to.Hosts, from.Host = hosts, nil
		}
		if devices, ok := poolDevices(from.Device); ok {
			to.Devices, from.Device = devices, nil
		}
		if to.Name != "" || to.Directory != "" || to.Format != "" || len(to.Hosts) > 0 || len(to.Devices) > 0 {
			pool.Spec.Source = &to
		}
		if emptyPoolSource(from) {
			doc.Source = nil
		}
	},
	lower: func(pool *v1alpha1.StoragePool, doc *libvirtxml.StoragePool) field.ErrorList {
		from := pool.Spec.Source
		if from == nil {
			return nil
		}
		if doc.Source == nil {
			doc.Source = &libvirtxml.StoragePoolSource{}
		}
		to, at := doc.Source, poolPath.Child("source")
		errs := lowerText(from.Name, &to.Name, at.Child("name"), "spec.source.name")
		if from.Directory != "" {
			if to.Dir == nil {
				to.Dir = &libvirtxml.StoragePoolSourceDir{}
			}
			errs = append(errs, lowerText(from.Directory, &to.Dir.Path, at.Child("dir", "path"), "spec.source.directory")...)
		}
		if from.Format != "" {
			if to.Format == nil {
				to.Format = &libvirtxml.StoragePoolSourceFormat{}
			}
			errs = append(errs, lowerText(from.Format, &to.Format.Type, at.Child("format", "type"), "spec.source.format")...)
		}
		if len(from.Hosts) > 0 {
			if len(to.Host) > 0 {
				errs = append(errs, givenTwice(at.Child("host"), field.OmitValueType{}, "spec.source.hosts"))
			}
			to.Host = nil
			for _, h := range from.Hosts {
				host := libvirtxml.StoragePoolSourceHost{Name: h.Name}
				if h.Port != 0 {
					host.Port = strconv.Itoa(int(h.Port))
				}
				to.Host = append(to.Host, host)
			}
		}
		if len(from.Devices) > 0 {
			if len(to.Device) > 0 {
				errs = append(errs, givenTwice(at.Child("device"), field.OmitValueType{}, "spec.source.devices"))
			}
			to.Device = nil
			for _, path := range from.Devices {
				to.Device = append(to.Device, libvirtxml.StoragePoolSourceDevice{Path: path})
			}
		}
		return errs
	},
}

// poolHosts reads hosts whose ports are numbers.
func poolHosts(from []libvirtxml.StoragePoolSourceHost) ([]v1alpha1.PoolHost, bool) {
	var out []v1alpha1.PoolHost
	for _, h := range from {
		host := v1alpha1.PoolHost{Name: h.Name}
		if h.Port != "" {
			port, err := strconv.ParseUint(h.Port, 10, 31)
			if err != nil || port == 0 || port > math.MaxUint16 {
				return nil, false
			}
			host.Port = int32(port)
		}
		out = append(out, host)
	}
	return out, true
}

// poolDevices reads devices of which no more than the path is said.
func poolDevices(from []libvirtxml.StoragePoolSourceDevice) ([]string, bool) {
	var out []string
	for _, d := range from {
		if d.Path == "" || d.PartSeparator != "" || len(d.FreeExtents) > 0 {
			return nil, false
		}
		out = append(out, d.Path)
	}
	return out, true
}

func emptyPoolSource(s *libvirtxml.StoragePoolSource) bool {
	return s.Name == "" && s.Dir == nil && len(s.Host) == 0 && len(s.Device) == 0 && s.Auth == nil && s.Vendor == nil &&
		s.Product == nil && s.Format == nil && s.Protocol == nil && s.Adapter == nil && s.Initiator == nil
}
