package objects

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// networkForward is <forward>: the type, and the devices of the host. What is
// neither of the types, such as mode open or hostdev, stays in the rest.
var networkForward = networkConcern{
	lift: func(doc *libvirtxml.Network, n *v1alpha1.VirtualNetwork) {
		spec, f := &n.Spec, doc.Forward
		if f == nil {
			spec.Type = v1alpha1.NetworkIsolated
			return
		}
		if len(f.PFs) > 0 || len(f.Addresses) > 0 {
			return // devices that are handed to guests whole
		}
		switch f.Mode {
		case "", "nat", "route":
			spec.Type = v1alpha1.NetworkNAT
			if f.Mode == "route" {
				spec.Type = v1alpha1.NetworkRouted
			}
			spec.Device = liftDevice(f)
		case "bridge":
			if doc.Bridge != nil || len(f.Interfaces) == 0 {
				spec.Type = v1alpha1.NetworkBridge
				break
			}
			liftDirect(f, spec)
		case "private", "vepa", "passthrough":
			liftDirect(f, spec)
		default:
			return
		}
		if spec.Type != "" {
			f.Mode = ""
		}
		if emptyForward(f) {
			doc.Forward = nil
		}
	},
	lower: func(n *v1alpha1.VirtualNetwork, doc *libvirtxml.Network) field.ErrorList {
		spec, at := &n.Spec, networkPath.Child("forward")
		mode := ""
		switch spec.Type {
		case "":
			return nil
		case v1alpha1.NetworkIsolated:
			if doc.Forward != nil {
				return field.ErrorList{givenTwice(at, field.OmitValueType{}, "spec.type isolated")}
			}
			return nil
		case v1alpha1.NetworkCNI:
			return field.ErrorList{field.Invalid(field.NewPath("spec", "type"), spec.Type, "is a network of Kubernetes', and libvirt has no document for it")}
		case v1alpha1.NetworkNAT:
			mode = "nat"
		case v1alpha1.NetworkRouted:
			mode = "route"
		case v1alpha1.NetworkBridge:
			mode = "bridge"
		case v1alpha1.NetworkDirect:
			if mode = "bridge"; spec.Direct != nil && spec.Direct.Mode != "" {
				mode = string(spec.Direct.Mode)
			}
		default:
			return field.ErrorList{field.NotSupported(field.NewPath("spec", "type"), spec.Type, networkTypes)}
		}
		if doc.Forward == nil {
			doc.Forward = &libvirtxml.NetworkForward{}
		}
		f := doc.Forward
		errs := lowerText(mode, &f.Mode, at.Child("mode"), "spec.type")
		if spec.Device != "" {
			errs = append(errs, lowerText(spec.Device, &f.Dev, at.Child("dev"), "spec.device")...)
			errs = append(errs, lowerInterfaces([]string{spec.Device}, f, at, "spec.device")...)
		}
		if spec.Direct != nil {
			errs = append(errs, lowerInterfaces(spec.Direct.Devices, f, at, "spec.direct.devices")...)
			if len(spec.Direct.Devices) > 0 {
				errs = append(errs, lowerText(spec.Direct.Devices[0], &f.Dev, at.Child("dev"), "spec.direct.devices")...)
			}
		}
		return errs
	},
}

var networkTypes = []v1alpha1.NetworkType{v1alpha1.NetworkNAT, v1alpha1.NetworkIsolated, v1alpha1.NetworkRouted,
	v1alpha1.NetworkBridge, v1alpha1.NetworkDirect, v1alpha1.NetworkCNI}

// liftDevice takes the one device that forwarding is limited to. libvirt prints
// it twice.
func liftDevice(f *libvirtxml.NetworkForward) string {
	devices := interfaces(f)
	if f.Dev == "" || len(devices) > 1 || len(devices) == 1 && devices[0] != f.Dev {
		return ""
	}
	dev := f.Dev
	f.Dev, f.Interfaces = "", nil
	return dev
}

// liftDirect takes the devices of macvtap, of which libvirt prints the first
// twice.
func liftDirect(f *libvirtxml.NetworkForward, spec *v1alpha1.VirtualNetworkSpec) {
	devices := interfaces(f)
	if len(devices) == 0 && f.Dev != "" {
		devices = []string{f.Dev}
	}
	if len(devices) == 0 || f.Dev != "" && f.Dev != devices[0] || slices.Contains(devices, "") {
		return
	}
	spec.Type = v1alpha1.NetworkDirect
	spec.Direct = &v1alpha1.DirectNetwork{Mode: v1alpha1.DirectMode(f.Mode), Devices: devices}
	f.Dev, f.Interfaces = "", nil
}

func interfaces(f *libvirtxml.NetworkForward) []string {
	var out []string
	for _, i := range f.Interfaces {
		out = append(out, i.Dev)
	}
	return out
}

func lowerInterfaces(devices []string, f *libvirtxml.NetworkForward, at *field.Path, typed string) field.ErrorList {
	if given := interfaces(f); len(given) > 0 && !slices.Equal(given, devices) {
		return field.ErrorList{givenTwice(at.Child("interfaces"), field.OmitValueType{}, typed)}
	}
	f.Interfaces = nil
	for _, dev := range devices {
		f.Interfaces = append(f.Interfaces, libvirtxml.NetworkForwardInterface{Dev: dev})
	}
	return nil
}

func emptyForward(f *libvirtxml.NetworkForward) bool {
	return f.Mode == "" && f.Dev == "" && f.Managed == "" && f.Driver == nil && len(f.PFs) == 0 && f.NAT == nil &&
		len(f.Interfaces) == 0 && len(f.Addresses) == 0
}
