package intake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/convert"
)

// ofOneRun is what libvirt says of a guest that runs, or of the host that it
// runs on, and what means nothing elsewhere. Patterns are dotted keys, with []
// for any place in a list and * for any key.
var ofOneRun = []struct {
	pattern string
	// where says of which values; nil of all. when says that to a person.
	where     func(value any, parent map[string]any) bool
	when, why string
}{
	{"id", nil, "", "libvirt numbers running domains"},
	{"devices.*[].alias", machineMade, "that libvirt gave", "libvirt names devices; a name of your own begins with ua-"},
	{"devices.*.alias", machineMade, "that libvirt gave", "libvirt names devices; a name of your own begins with ua-"},
	{"devices.disks[].source.index", nil, "", "libvirt numbers the images of a running guest"},
	{"devices.disks[].source.*.secLabel", nil, "", "labels are those of a run on one host"},
	{"devices.disks[].backingStore", ofARun, "with an index, or empty", "libvirt reads what an image is based on from the image"},
	{"devices.disks[].mirror", nil, "", "it is of a job that was running"},
	{"devices.interfaces[].target", automaticTarget, "that libvirt named", "libvirt names the host's end of the cable"},
	{"devices.interfaces[].source.network.portID", nil, "", "it is a port of one run"},
	{"devices.interfaces[].source.network.bridge", nil, "", "the network says which bridge it has"},
	{"devices.interfaces[].backend", emptyObject, "with nothing in it", "nothing is said in it"},
	{"devices.serials[].source.pty.path", nil, "", "the terminal is one of a run"},
	{"devices.consoles[].source.pty.path", nil, "", "the terminal is one of a run"},
	{"devices.consoles[].tty", nil, "", "the terminal is one of a run"},
	{"devices.parallels[].source.pty.path", nil, "", "the terminal is one of a run"},
	{"devices.channels[].source.pty.path", nil, "", "the terminal is one of a run"},
	{"devices.channels[].target.virtIO.state", nil, "", "it says whether the guest's agent was there"},
	{"devices.graphics[].vnc.port", automaticPort, "with `autoPort: \"yes\"`", "libvirt chose it for a run"},
	{"devices.graphics[].vnc.webSocket", automaticPort, "with `autoPort: \"yes\"`", "libvirt chose it for a run"},
	{"devices.graphics[].spice.port", automaticPort, "with `autoPort: \"yes\"`", "libvirt chose it for a run"},
	{"devices.graphics[].spice.tlsPort", automaticPort, "with `autoPort: \"yes\"`", "libvirt chose it for a run"},
	{"devices.vSock.cid.address", automaticAddress, "with `auto: \"yes\"`", "libvirt chose it for a run"},
	{"devices.emulator", nil, "", "each host has its own"},
	{"secLabel", dynamicLabels, "that are all dynamic", "labels are those of a run on one host"},
	{"resource", defaultPartition, "that is /machine", "it is where libvirt puts every domain"},
}

func machineMade(value any, _ map[string]any) bool {
	alias, _ := value.(map[string]any)
	name, _ := alias["name"].(string)
	return !strings.HasPrefix(name, "ua-")
}

// automaticTarget knows the names of taps that libvirt gives.
func automaticTarget(value any, _ map[string]any) bool {
	target, _ := value.(map[string]any)
	dev, _ := target["dev"].(string)
	for _, prefix := range []string{"vnet", "macvtap", "macvlan", "vif"} {
		if strings.HasPrefix(dev, prefix) {
			return true
		}
	}
	return false
}

func automaticPort(value any, graphics map[string]any) bool {
	return graphics["autoPort"] == "yes" && fmt.Sprint(value) != "-1"
}

func automaticAddress(_ any, cid map[string]any) bool { return cid["auto"] == "yes" }

// ofARun knows the chains that libvirt prints of a running guest. One that
// somebody wrote has no numbers, and libvirt takes it at its word.
func ofARun(value any, _ map[string]any) bool {
	chain, _ := value.(map[string]any)
	source, _ := chain["source"].(map[string]any)
	return chain["index"] != nil || chain["format"] == nil && len(source) == 0
}

func emptyObject(value any, _ map[string]any) bool {
	o, ok := value.(map[string]any)
	return ok && len(o) == 0
}

// dynamicLabels are those that libvirt makes up; DAC's are the users under which
// a host runs QEMU.
func dynamicLabels(value any, _ map[string]any) bool {
	labels, _ := value.([]any)
	return !slices.ContainsFunc(labels, func(l any) bool {
		label, _ := l.(map[string]any)
		return label["type"] != "dynamic" || label["baseLabel"] != nil
	})
}

func defaultPartition(value any, _ map[string]any) bool {
	resource, _ := value.(map[string]any)
	return len(resource) == 1 && resource["partition"] == "/machine"
}

// dropRun takes out of a domain what was of one run only. Ports that were chosen
// for a run are -1 afterwards, which has libvirt choose again.
func (s *state) dropRun(raw []byte) ([]byte, error) {
	domain, err := readDomain(raw)
	if err != nil {
		return nil, err
	}
	type told struct {
		paths []*field.Path
		why   string
	}
	var order []string
	reasons := map[string]*told{}
	for _, rule := range ofOneRun {
		steps := strings.Split(rule.pattern, ".")
		visit(domain, convert.DomainPath, steps, func(parent map[string]any, key string, here *field.Path) {
			value := parent[key]
			if rule.where != nil && !rule.where(value, parent) {
				return
			}
			if isPort(key) {
				parent[key] = json.Number("-1")
			} else {
				delete(parent, key)
			}
			group := key + rule.why
			if reasons[group] == nil {
				reasons[group] = &told{why: rule.why}
				order = append(order, group)
			}
			reasons[group].paths = append(reasons[group].paths, here)
		})
	}
	for _, group := range order {
		t := reasons[group]
		what := "removed"
		if n := len(t.paths); n > 1 {
			what = fmt.Sprintf("removed, here and in %s", times(n-1, "other place"))
		}
		s.changed(t.paths[0], what, t.why)
	}
	return json.Marshal(domain)
}

// times is a number of things in words: 1 cell, 2 cells.
func times(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// isPort says which ports are asked for by -1. A port for TLS is not: hosts
// without TLS would refuse the guest, and the others give it one where it needs it.
func isPort(key string) bool { return key == "port" || key == "webSocket" }

// visit calls for each key that a pattern leads to, in the order of the
// document's keys as text.
func visit(object map[string]any, at *field.Path, steps []string, found func(parent map[string]any, key string, here *field.Path)) {
	step, list := strings.CutSuffix(steps[0], "[]")
	keys := []string{step}
	if step == "*" {
		keys = slices.Sorted(maps.Keys(object))
	}
	for _, key := range keys {
		value, there := object[key]
		if !there {
			continue
		}
		items, isList := value.([]any)
		switch {
		case list && isList:
			for i, item := range items {
				if inner, ok := item.(map[string]any); ok && len(steps) > 1 {
					visit(inner, at.Child(key).Index(i), steps[1:], found)
				}
			}
		case list:
		case len(steps) == 1:
			found(object, key, at.Child(key))
		default:
			if inner, ok := value.(map[string]any); ok {
				visit(inner, at.Child(key), steps[1:], found)
			}
		}
	}
}

// readDomain reads a domain as JSON, its numbers as they are written.
func readDomain(raw []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var domain map[string]any
	if err := d.Decode(&domain); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return domain, nil
}

// tidy takes out of a domain the items that are gone, and a list that holds none.
func (s *state) tidy(raw []byte) ([]byte, error) {
	domain, err := readDomain(raw)
	if err != nil {
		return nil, err
	}
	devices, _ := domain["devices"].(map[string]any)
	for list, gone := range s.gone {
		items, _ := devices[list].([]any)
		var rest []any
		for i, item := range items {
			if !slices.Contains(gone, i) {
				rest = append(rest, item)
			}
		}
		if devices[list] = rest; len(rest) == 0 {
			delete(devices, list)
		}
	}
	if devices != nil && len(devices) == 0 {
		delete(domain, "devices")
	}
	return writeDomain(domain)
}

func writeDomain(domain map[string]any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(domain); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
