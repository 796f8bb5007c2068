package convert

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/tree"
)

// SpecRecord is what a VM's spec said when its domain was made: a digest for
// each field that takes effect when a guest starts. It is text for the domain's
// mark, such as
//
//	1:0 domain.devices.disks=r0sGS2wl domain.os.firmware=c2UpS9EX resources.cpu=a4ayc_80
//
// and begins with its format and how many keys deep it looks into the domain (0:
// as deep as there are objects). Values are not in it: some are secrets. It is
// empty where nothing was recorded.
type SpecRecord string

const (
	// recordFormat changes with the way in which values are written before their
	// digests are taken: records of another format are not compared.
	recordFormat = "1"
	// maxRecord bounds a record in bytes. Where it would not do, the record looks
	// less deep; one key deep all of libvirt's schema is far below it.
	maxRecord = 8 << 10
)

// RecordSpec makes the record of a spec.
func RecordSpec(spec *v1alpha1.VirtualMachineSpec) SpecRecord {
	var record SpecRecord
	for _, depth := range []int{0, 2, 1} {
		if record = writeRecord(fieldsOf(spec, depth), depth); len(record) <= maxRecord {
			break
		}
	}
	return record
}

// Changed lists the fields in which a spec differs from the one that was
// recorded, by path, sorted: spec.domain.devices.disks, spec.resources.memory. It
// is false where the record does not tell.
func (r SpecRecord) Changed(spec *v1alpha1.VirtualMachineSpec) ([]string, bool) {
	then, depth, ok := r.read()
	if !ok {
		return nil, false
	}
	now := digests(fieldsOf(spec, depth))
	var changed []string
	for path := range now {
		if then[path] != now[path] {
			changed = append(changed, path)
		}
	}
	for path := range then {
		if _, still := now[path]; !still {
			changed = append(changed, path)
		}
	}
	slices.Sort(changed)
	changed = withoutInner(changed)
	for i := range changed {
		changed[i] = "spec." + changed[i]
	}
	return changed, true
}

// Resized is the record of a guest that has been given another size since it was
// started: as if it had been started with that. A record that does not tell stays
// as it is.
func (r SpecRecord) Resized(to v1alpha1.GuestSize) SpecRecord {
	all, depth, ok := r.read()
	if !ok {
		return r
	}
	maps.Copy(all, digests(map[string]string{
		"resources.cpu": cpuField(to.CPU), "resources.memory": memoryField(to.Memory),
	}))
	return formatRecord(all, depth)
}

// WithDisks is the record of a guest whose disks have become those of the spec
// since it was started. A record that does not tell stays as it is.
func (r SpecRecord) WithDisks(disks []v1alpha1.VirtualMachineDisk) SpecRecord {
	all, depth, ok := r.read()
	if !ok {
		return r
	}
	delete(all, "disks")
	if len(disks) > 0 {
		maps.Copy(all, digests(map[string]string{"disks": diskFields(disks)}))
	}
	return formatRecord(all, depth)
}

// withoutInner drops paths below others of the list, which is sorted: where a
// whole object has come or gone, or holds nothing on one side, it is named once.
func withoutInner(paths []string) []string {
	var out []string
	for _, p := range paths {
		if !slices.ContainsFunc(out, func(above string) bool { return strings.HasPrefix(p, above+".") }) {
			out = append(out, p)
		}
	}
	return out
}

func writeRecord(fields map[string]string, depth int) SpecRecord {
	return formatRecord(digests(fields), depth)
}

func formatRecord(all map[string]string, depth int) SpecRecord {
	var out strings.Builder
	out.WriteString(recordFormat + ":" + strconv.Itoa(depth))
	for _, path := range slices.Sorted(maps.Keys(all)) {
		out.WriteString(" " + path + "=" + all[path])
	}
	return SpecRecord(out.String())
}

// read returns the digests by path. It is false for what it does not know.
func (r SpecRecord) read() (digests map[string]string, depth int, ok bool) {
	words := strings.Fields(string(r))
	if len(words) == 0 || len(r) > 2*maxRecord {
		return nil, 0, false
	}
	format, deep, _ := strings.Cut(words[0], ":")
	depth, err := strconv.Atoi(deep)
	if format != recordFormat || err != nil || depth < 0 {
		return nil, 0, false
	}
	digests = make(map[string]string, len(words)-1)
	for _, word := range words[1:] {
		path, digest, found := strings.Cut(word, "=")
		if !found {
			return nil, 0, false
		}
		digests[path] = digest
	}
	return digests, depth, true
}

// digests are short enough for a mark, and long enough that no change of a field
// goes unseen but once in 2^48.
func digests(fields map[string]string) map[string]string {
	out := make(map[string]string, len(fields))
	for path, value := range fields {
		sum := sha256.Sum256([]byte(value))
		out[path] = base64.RawURLEncoding.EncodeToString(sum[:6])
	}
	return out
}

// fieldsOf is what a guest is started with, by path below spec: equal values have
// equal text, in whatever notation they were written.
func fieldsOf(spec *v1alpha1.VirtualMachineSpec, depth int) map[string]string {
	out := map[string]string{}
	for key, value := range resourceFields(&spec.Resources) {
		out["resources."+key] = value
	}
	for key, value := range cloudInitFields(spec.CloudInit) {
		out[strings.TrimSuffix("cloudInit."+key, ".")] = value
	}
	if len(spec.Disks) > 0 {
		out["disks"] = diskFields(spec.Disks)
	}
	maps.Copy(out, interfaceFields(spec.Interfaces))
	domain, others, errs := UserDocument(&v1alpha1.VirtualMachine{Spec: *spec})
	parts, err := tree.Parts(domain, depth)
	if len(errs) > 0 || err != nil {
		// Admission lets no such domain through; were there one, it is a whole.
		out["domain"] = string(spec.Domain.Raw)
		return out
	}
	for path, value := range parts {
		out["domain."+path] = value
	}
	if len(others) > 0 {
		// One record for all: they are few, and deep. Maps have sorted keys.
		text, _ := json.Marshal(others)
		out["domain."+tree.OtherKey] = string(text)
	}
	return out
}

// resourceFields leaves out what is not set, and says of defaults what they are.
func resourceFields(r *v1alpha1.VirtualMachineResources) map[string]string {
	out := map[string]string{
		"cpu":       cpuField(r.CPU),
		"memory":    memoryField(r.Memory.Value()),
		"numa":      string(cmp.Or(r.NUMA, v1alpha1.NUMANone)),
		"cpuPolicy": string(cmp.Or(r.CPUPolicy, v1alpha1.CPUShared)),
		"threads":   string(cmp.Or(r.Threads, v1alpha1.ThreadsTogether)),
	}
	if r.MaxCPU != 0 {
		out["maxCPU"] = fmt.Sprint(r.MaxCPU)
	}
	if r.MaxMemory != nil {
		out["maxMemory"] = fmt.Sprint(r.MaxMemory.Value())
	}
	if r.Hugepages != nil {
		out["hugepages"] = string(r.Hugepages.PageSize)
	}
	if r.Overhead != nil {
		out["overhead"] = fmt.Sprint(r.Overhead.Value())
	}
	if len(r.Devices) > 0 {
		devices := slices.Clone(r.Devices)
		for i := range devices {
			devices[i].Count = max(devices[i].Count, 1)
		}
		slices.SortFunc(devices, func(a, b v1alpha1.DeviceRequest) int { return cmp.Compare(a.Name, b.Name) })
		// Strings and numbers can always be written.
		text, _ := json.Marshal(devices)
		out["devices"] = string(text)
	}
	return out
}

// diskFields is what spec.disks says, defaults included, in its order: that is
// the guest's.
func diskFields(disks []v1alpha1.VirtualMachineDisk) string {
	disks = slices.Clone(disks)
	for i := range disks {
		disks[i].Type, disks[i].Bus = BusOf(&disks[i])
		disks[i].ForceEject = false // says how to change, and not into what
	}
	text, _ := json.Marshal(disks)
	return string(text)
}

func cpuField(cpus int32) string { return fmt.Sprint(cpus) }

func memoryField(bytes int64) string { return fmt.Sprint(bytes) }
