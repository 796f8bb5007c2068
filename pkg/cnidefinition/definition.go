// Package cnidefinition reads NetworkAttachmentDefinitions (k8s.cni.cncf.io/v1): what
// network each says, and which programs would run for it. It is pure.
package cnidefinition

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is that of the objects.
var Kind = schema.GroupVersionKind{Group: "k8s.cni.cncf.io", Version: "v1", Kind: "NetworkAttachmentDefinition"}

// ErrInvalid is an object that nobody can carry out.
var ErrInvalid = errors.New("invalid NetworkAttachmentDefinition")

const (
	// MaxConfig is how long a configuration may be, in bytes.
	MaxConfig = 16 << 10
	// maxPlugins is how many types of plugins may be in it.
	maxPlugins = 32
)

// Definition is what an object says which network it is.
type Definition struct {
	// Name is what the network is called; where Config is empty, the name of the host's
	// own configuration that is meant.
	Name string
	// Config is a configuration as CNI has it, of a list or of one plugin. It has each
	// key once: of two with one name the last counts, for whoever reads it.
	Config string
	// Plugins are the types of all plugins in Config, those that others call among
	// them, in order.
	Plugins []string
}

// names become names of files of libcni and of plugins (CNI's specification, section
// 1); types are looked for in folders.
var (
	networkName = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_.]{0,62}$`)
	pluginType  = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_.]{0,62}$`)
)

// Read reads an object's name and spec.config, as the Network Plumbing Working Group's
// standard has it (version 1.3, sections 3.4.1 and 3.4.2): without spec.config the
// host's configuration of the object's name is meant, and a configuration without a
// name has the object's.
func Read(name, config string) (Definition, error) {
	d := Definition{Name: name, Config: config}
	if config != "" {
		if len(config) > MaxConfig {
			return Definition{}, fmt.Errorf("%w: spec.config has %d bytes: give at most %d", ErrInvalid, len(config), MaxConfig)
		}
		whole, err := decode(config)
		if err != nil {
			return Definition{}, err
		}
		fields, is := whole.(map[string]any)
		if !is {
			return Definition{}, fmt.Errorf("%w: spec.config is no object: give a CNI configuration in JSON", ErrInvalid)
		}
		if named, any := fields["name"]; any {
			if d.Name, is = named.(string); !is {
				return Definition{}, fmt.Errorf("%w: spec.config: name %v: give a string", ErrInvalid, named)
			}
		}
		if d.Plugins, err = plugins(whole); err != nil {
			return Definition{}, err
		}
		once, err := json.Marshal(whole)
		if err != nil {
			return Definition{}, fmt.Errorf("%w: spec.config: %w", ErrInvalid, err)
		}
		d.Config = string(once)
	}
	if !networkName.MatchString(d.Name) {
		return Definition{}, fmt.Errorf("%w: the network's name %q: give at most 63 letters, digits, dashes, dots and underscores", ErrInvalid, d.Name)
	}
	return d, nil
}

// decode reads JSON with its numbers as they are written.
func decode(config string) (whole any, err error) {
	d := json.NewDecoder(strings.NewReader(config))
	d.UseNumber()
	if err = d.Decode(&whole); err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more after its end")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: spec.config: %w: give a CNI configuration in JSON", ErrInvalid, err)
	}
	return whole, nil
}

// Plugins are the types of all plugins that a configuration names, in order: those of
// the list, and those that a plugin calls, as for addresses (ipam) or to hand over
// (delegate). Every "type" counts wherever it stands, so that none is overlooked of a
// plugin that is not known here.
func Plugins(config string) ([]string, error) {
	whole, err := decode(config)
	if err != nil {
		return nil, err
	}
	return plugins(whole)
}

func plugins(whole any) ([]string, error) {
	var out []string
	var walk func(any) error
	walk = func(at any) error {
		switch at := at.(type) {
		case []any:
			for _, v := range at {
				if err := walk(v); err != nil {
					return err
				}
			}
		case map[string]any:
			for key, v := range at {
				// encoding/json, which plugins read by, does not tell capitals apart.
				if !isType(key) {
					if err := walk(v); err != nil {
						return err
					}
					continue
				}
				name, is := v.(string)
				if !is || !pluginType.MatchString(name) {
					return fmt.Errorf("%w: spec.config: type %v: give the name of a CNI plugin", ErrInvalid, v)
				}
				out = append(out, name)
			}
		}
		return nil
	}
	if err := walk(whole); err != nil {
		return nil, err
	}
	slices.Sort(out)
	out = slices.Compact(out)
	switch {
	case len(out) == 0:
		return nil, fmt.Errorf("%w: spec.config names no plugin: give it a type", ErrInvalid)
	case len(out) > maxPlugins:
		return nil, fmt.Errorf("%w: spec.config names %d plugins: give at most %d", ErrInvalid, len(out), maxPlugins)
	}
	return out, nil
}

// isType says whether encoding/json takes a key for "type".
func isType(key string) bool {
	return len(key) == len("type") && (key[0]|0x20) == 't' && (key[1]|0x20) == 'y' && (key[2]|0x20) == 'p' && (key[3]|0x20) == 'e'
}
