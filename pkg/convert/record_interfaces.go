package convert

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// interfaceFields is what spec.interfaces says, defaults included, by the cards'
// names: each card is plugged by itself.
func interfaceFields(cards []v1alpha1.VirtualMachineInterface) map[string]string {
	out := make(map[string]string, len(cards))
	for _, card := range cards {
		card.Model = cmp.Or(card.Model, v1alpha1.ModelVirtio)
		text, _ := json.Marshal(card)
		out[interfaceKey(card.Name)] = string(text)
	}
	return out
}

func interfaceKey(name string) string { return "interfaces." + name }

// InterfaceField is the card's path as Changed says it.
func InterfaceField(name string) string { return "spec." + interfaceKey(name) }

// HasInterface says whether the guest was given a card of the name, by the record.
func (r SpecRecord) HasInterface(name string) bool {
	all, _, ok := r.read()
	_, has := all[interfaceKey(name)]
	return ok && has
}

// Interfaces lists the cards that the guest was given, by the record, sorted.
func (r SpecRecord) Interfaces() (names []string) {
	all, _, _ := r.read()
	for path := range all {
		if name, is := strings.CutPrefix(path, interfaceKey("")); is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// InterfaceOfField is the card's name in a path that Changed said; false for another
// field.
func InterfaceOfField(field string) (string, bool) {
	return strings.CutPrefix(field, InterfaceField(""))
}

// Replugged is the record of a guest that was given a card of the spec, or let one
// go that the spec has no more, since it was started: as if it had been started so.
// A record that does not tell stays as it is.
func (r SpecRecord) Replugged(spec *v1alpha1.VirtualMachineSpec, name string) SpecRecord {
	all, depth, ok := r.read()
	if !ok {
		return r
	}
	delete(all, interfaceKey(name))
	for i := range spec.Interfaces {
		if card := spec.Interfaces[i : i+1]; card[0].Name == name {
			maps.Copy(all, digests(interfaceFields(card)))
		}
	}
	return formatRecord(all, depth)
}
