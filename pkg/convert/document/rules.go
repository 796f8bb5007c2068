package document

import "domus.dev/domus/pkg/convert/xmldoc"

// Rules are what libvirt's documents mean by their values, for xmldoc.Compare.
func Rules() xmldoc.Rules {
	return xmldoc.Rules{Number: isNumber, Amount: amountUnit, Verbatim: isVerbatim, Role: role}
}

// Prefixes are libvirt's own for its namespaces, as its documentation has them.
func Prefixes() map[string]string { return prefixes }

var prefixes = map[string]string{
	"http://libvirt.org/schemas/domain/qemu/1.0":       "qemu",
	"http://libvirt.org/schemas/domain/lxc/1.0":        "lxc",
	"http://libvirt.org/schemas/domain/bhyve/1.0":      "bhyve",
	"http://libvirt.org/schemas/domain/vmware/1.0":     "vmware",
	"http://libvirt.org/schemas/domain/xen/1.0":        "xen",
	"http://libvirt.org/schemas/network/dnsmasq/1.0":   "dnsmasq",
	"http://libvirt.org/schemas/storagepool/fs/1.0":    "fs",
	"http://libvirt.org/schemas/storagepool/rbd/1.0":   "rbd",
	"http://libvirt.org/schemas/storagepool/iscsi/1.0": "iscsi",
}

// isVerbatim says whether an element's content is not libvirt's: metadata holds
// what applications put there, and cookie what a hypervisor's driver did.
func isVerbatim(e *xmldoc.Element) bool {
	if e.Space != "" || e.Parent == nil {
		return false
	}
	switch e.Local {
	case "metadata":
		return e.Parent.Local == "domain" || e.Parent.Local == "inactiveDomain" || e.Parent.Local == "network"
	case "cookie":
		return e.Parent.Local == "domainsnapshot"
	}
	return false
}

// role tells the two ends of a character device over UDP apart: libvirt reads
// the one of mode bind and the one of mode connect, whichever comes first
// (virDomainChrSourceDefParseXML).
func role(e *xmldoc.Element) string {
	if e.Local != "source" || e.Parent == nil {
		return ""
	}
	if kind, _ := e.Parent.Attribute("type"); kind != "udp" {
		return ""
	}
	mode, _ := e.Attribute("mode")
	return mode
}

// amounts are the elements whose number is in a unit, and the unit where they
// say none, as src/conf of libvirt reads them: memory in KiB, storage in bytes.
// Each is an element's name, behind that of its parent where the name alone
// says too little; with the attribute that holds the number.
var amounts = map[string]string{
	"domain/memory": "KiB", "domain/currentMemory": "KiB", "domain/maxMemory": "KiB",
	"inactiveDomain/memory": "KiB", "inactiveDomain/currentMemory": "KiB", "inactiveDomain/maxMemory": "KiB",
	"memtune/hard_limit": "KiB", "memtune/soft_limit": "KiB", "memtune/swap_hard_limit": "KiB", "memtune/min_guarantee": "KiB",
	"target/size": "KiB", "target/block": "KiB", "target/requested": "KiB", "target/current": "KiB",
	"label/size": "KiB", "source/pagesize": "KiB", "source/alignsize": "KiB",
	"numa/cell/@memory": "KiB", "hugepages/page/@size": "KiB", "tcg/tb-cache": "KiB", "controller/pcihole64": "KiB",
	"volume/capacity": "bytes", "volume/allocation": "bytes", "volume/physical": "bytes", "target/clusterSize": "bytes",
	"pool/capacity": "bytes", "pool/allocation": "bytes", "pool/available": "bytes",
	"metadata_cache/max_size": "bytes", "filesystem/space_hard_limit": "bytes", "filesystem/space_soft_limit": "bytes",
}

func amountUnit(e *xmldoc.Element, attribute string) (string, bool) {
	if e.Parent == nil {
		return "", false
	}
	place := e.Parent.Local + "/" + e.Local
	if attribute != "" {
		place += "/@" + attribute
	}
	unit, ok := amounts[place]
	return unit, ok
}
