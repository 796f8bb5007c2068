package cni

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/libcni"
)

// podPlugins are those that look up a Pod of the name that they are told, with what
// they need it for. They would fail, or give a card that nothing leads to.
var podPlugins = map[string]string{
	"multus":              "it reads which networks a Pod asks for in its annotations",
	"multus-shim":         "it reads which networks a Pod asks for in its annotations",
	"calico":              "its policy and its endpoints are made of the Pod's labels and address",
	"cilium-cni":          "its agent makes the endpoint's identity of the Pod's labels",
	"ovn-k8s-cni-overlay": "it waits for the address that its controller writes on the Pod",
	"kube-ovn":            "it waits for the address that its controller writes on the Pod",
}

// load is a configuration of the host by its name. Of two with one name the first
// file's counts, and lists before single plugins, as libcni has it; but libcni gives
// up at the first file that it cannot read, which would take all others away.
func load(dir, name string) (*libcni.NetworkConfigList, error) {
	unread := ""
	for _, kind := range [][]string{{".conflist"}, {".conf", ".json"}} {
		files, err := libcni.ConfFiles(dir, kind)
		if err != nil {
			return nil, fmt.Errorf("%w: listing CNI configurations in %s: %w", ErrInvalid, dir, err)
		}
		slices.Sort(files)
		for _, file := range files {
			data, named, err := nameIn(file)
			switch {
			case err != nil:
				unread = "; " + file + " cannot be read"
			case named == name:
				return read(file, data, name)
			}
		}
	}
	return nil, fmt.Errorf("%w: %q is in no file of %s: name one that is, or put it there%s", ErrNoNetwork, name, dir, unread)
}

// read is the configuration that a file has.
func read(file string, data []byte, name string) (*libcni.NetworkConfigList, error) {
	if filepath.Ext(file) != ".conflist" {
		return parse(data, name)
	}
	list, err := libcni.NetworkConfFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: reading CNI configuration %s: %w", ErrInvalid, file, err)
	}
	return list, nil
}

// nameIn is the name of the configuration that a file has.
func nameIn(file string) (data []byte, name string, err error) {
	if data, err = os.ReadFile(file); err != nil {
		return nil, "", err
	}
	var named struct {
		Name string `json:"name"`
	}
	err = json.Unmarshal(data, &named)
	return data, named.Name, err
}

// offered are the names of those that the options allow, and that are for VMs. A file
// that cannot be read offers nothing, and takes nothing from others; refused says why
// by file.
func offered(o Options) (names []string, refused map[string]error, err error) {
	files, err := libcni.ConfFiles(o.ConfigDir, []string{".conflist", ".conf", ".json"})
	if err != nil {
		return nil, nil, fmt.Errorf("listing CNI configurations in %s: %w", o.ConfigDir, err)
	}
	refused = map[string]error{}
	for _, file := range files {
		name, err := offer(o, file)
		switch {
		case err != nil:
			refused[file] = err
		case name != "" && !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, refused, nil
}

// offer is the name of the file's configuration; empty where it is not for VMs.
func offer(o Options, file string) (string, error) {
	_, name, err := nameIn(file)
	if err != nil || !o.allows(name) {
		return "", err
	}
	list, err := load(o.ConfigDir, name)
	if err != nil {
		return "", err
	}
	return name, fit(list)
}

// parse reads a configuration of a list or of one plugin. name is what it is called
// by when it has no name of its own, as in a NetworkAttachmentDefinition.
func parse(config []byte, name string) (*libcni.NetworkConfigList, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, fmt.Errorf("%w: CNI configuration %q: %w", ErrInvalid, name, err)
	}
	if _, named := fields["name"]; !named {
		fields["name"], _ = json.Marshal(name)
	}
	if _, list := fields["plugins"]; !list {
		one, err := json.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("%w: CNI configuration %q: %w", ErrInvalid, name, err)
		}
		plugins, _ := json.Marshal([]json.RawMessage{one})
		fields = map[string]json.RawMessage{"name": fields["name"], "plugins": plugins, "cniVersion": fields["cniVersion"]}
		if fields["cniVersion"] == nil {
			delete(fields, "cniVersion")
		}
	}
	whole, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("%w: CNI configuration %q: %w", ErrInvalid, name, err)
	}
	list, err := libcni.NetworkConfFromBytes(whole)
	if err != nil {
		return nil, fmt.Errorf("%w: CNI configuration %q: %w", ErrInvalid, name, err)
	}
	return list, nil
}

// inlined is the list with all of its plugins in it, which may have files of their
// own: what was used to add a card must be used to remove it.
func inlined(list *libcni.NetworkConfigList) ([]byte, error) {
	whole := map[string]any{"name": list.Name, "disableCheck": list.DisableCheck, "disableGC": list.DisableGC}
	if list.CNIVersion != "" {
		whole["cniVersion"] = list.CNIVersion
	}
	plugins := make([]json.RawMessage, 0, len(list.Plugins))
	for _, p := range list.Plugins {
		plugins = append(plugins, bytes.TrimSpace(p.Bytes))
	}
	whole["plugins"] = plugins
	data, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("%w: CNI configuration %q: %w", ErrInvalid, list.Name, err)
	}
	return data, nil
}

// fit says whether a VM can have a card on the network.
func fit(list *libcni.NetworkConfigList) error {
	if !network.MatchString(list.Name) || len(list.Name) > 63 {
		return fmt.Errorf("%w: CNI configuration's name %q: give at most 63 letters, digits, dashes, dots and underscores", ErrInvalid, list.Name)
	}
	if len(list.Plugins) == 0 {
		return fmt.Errorf("%w: CNI configuration %q names no plugin", ErrInvalid, list.Name)
	}
	for _, p := range list.Plugins {
		if why, is := podPlugins[p.Network.Type]; is {
			return fmt.Errorf("%w: %s of CNI configuration %q: %s; use another configuration", ErrUnsupported, p.Network.Type, list.Name, why)
		}
	}
	return nil
}
