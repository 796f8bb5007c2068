package policy

// owned is what typed fields and the placement decide, at every level, each
// with what to do instead. What lies below is owned with it.
var owned = map[string]string{
	"id":                            "libvirt numbers running domains; leave it out",
	"name":                          "the domain is named after metadata.namespace and metadata.name; leave it out",
	"uuid":                          "set spec.uuid",
	"metadata":                      "it holds the mark of the domain's owner; use the VirtualMachine's labels and annotations",
	"vcpu":                          "set spec.resources.cpu",
	"vcpus":                         "set spec.resources.cpu",
	"memory":                        "set spec.resources.memory",
	"currentMemory":                 "set spec.resources.memory",
	"maximumMemory":                 "set spec.resources.memory",
	"memoryTune":                    "limits follow from spec.resources.memory; leave it out",
	"memoryBacking.memoryHugePages": "set spec.resources.hugepages.pageSize",
	"devices.memorydevs[]":          "memory beyond what is granted cannot be plugged in; set spec.resources.memory",
	"cpuTune":                       "the placement decides on host CPUs; leave it out",
	"numaTune":                      "the placement decides on NUMA cells; leave it out",
	"cpu.numa":                      "the placement decides on NUMA cells; leave it out",
}
