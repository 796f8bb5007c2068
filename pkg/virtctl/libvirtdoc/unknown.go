package libvirtdoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/convert/tree"
	"domus.dev/domus/pkg/virtctl/documents"
)

// unknownNotes name what of libvirt's XML is kept as XML, for no type has it: it is
// of a later libvirt, or misspelt.
func unknownNotes(d *documents.Document, obj client.Object) []*documents.Problem {
	if d.Line == 0 {
		return nil // libvirt itself has said it
	}
	plain, err := Plain(obj)
	if err != nil {
		return nil
	}
	var notes []*documents.Problem
	visitOthers("spec", plain["spec"], func(path string, other tree.Other) {
		for _, element := range other.Elements {
			name := elementName.FindString(element)
			if path == "spec.volume.other[0]" && name == "<source" {
				continue // libvirt itself prints one of each volume
			}
			note := d.Problem(path, "%s> is not known here, and kept as it is: is it spelt as libvirt has it?", name)
			if at := bytes.Index(d.Text, []byte(name)); d.Format == documents.XML && at >= 0 {
				note.Line = d.Line + bytes.Count(d.Text[:at], []byte("\n"))
			}
			notes = append(notes, note)
		}
		for _, name := range slices.Sorted(maps.Keys(other.Attributes)) {
			note := d.Problem(path, "the attribute %s=%q is not known here, and kept as it is: is it spelt as libvirt has it?", name, other.Attributes[name])
			attribute := regexp.MustCompile(`\s` + regexp.QuoteMeta(name) + `\s*=`)
			if at := attribute.FindIndex(d.Text); d.Format == documents.XML && at != nil {
				note.Line = d.Line + bytes.Count(d.Text[:at[1]], []byte("\n"))
			}
			notes = append(notes, note)
		}
	})
	return notes
}

var elementName = regexp.MustCompile(`^<[^\s/>]+`)

// visitOthers finds the corrections in a value of JSON, in the order of its keys.
func visitOthers(path string, value any, visit func(path string, other tree.Other)) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if key != tree.OtherKey {
				visitOthers(path+"."+key, v[key], visit)
				continue
			}
			var others []tree.Other
			if raw, err := json.Marshal(v[key]); err != nil || json.Unmarshal(raw, &others) != nil {
				continue
			}
			for i, other := range others {
				visit(fmt.Sprintf("%s.%s[%d]", path, key, i), other)
			}
		}
	case []any:
		for i, item := range v {
			visitOthers(fmt.Sprintf("%s[%d]", path, i), item, visit)
		}
	}
}
