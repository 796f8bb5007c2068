package documents

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/yamlnode"
)

// maxObjectBytes bounds a document of YAML or JSON before it is looked at: a list
// of many objects may be long. How large each may be is its reader's to say.
const maxObjectBytes = 16 << 20

// objectsOf reads a chunk of YAML or JSON: one object, or each of a list of them.
func objectsOf(source string, format Format, c chunk) ([]Document, error) {
	d := Document{Source: source, Line: c.line, Format: format}
	if len(c.text) > maxObjectBytes {
		return nil, d.Problem("", "is too large: %d bytes, and at most %d are read", len(c.text), maxObjectBytes)
	}
	if format == JSON {
		if err := d.checkJSON(c.text); err != nil {
			return nil, err
		}
	}
	node, err := parseNode(c.text, format)
	if err == nil && node != nil {
		shift(node, c.line-1)
		d.Node = node
	}
	if err == nil {
		d.Text, err = sigsyaml.YAMLToJSONStrict(untabbed(c.text, format))
	}
	if err != nil {
		return nil, d.yamlProblem(err)
	}
	if node == nil || node.Kind != yaml.MappingNode {
		return nil, d.Problem("", "is not a Kubernetes object: give apiVersion, kind, metadata and spec, or libvirt's XML")
	}
	return d.items(0)
}

// items are the objects of a list, or the object itself.
func (d Document) items(depth int) ([]Document, error) {
	var list struct {
		Kind  string
		Items []json.RawMessage
	}
	items := yamlnode.Member(d.Node, "items")
	if json.Unmarshal(d.Text, &list) != nil || !strings.HasSuffix(list.Kind, "List") || items == nil ||
		items.Kind != yaml.SequenceNode || len(items.Content) != len(list.Items) || depth > 2 {
		return []Document{d}, nil
	}
	var out []Document
	var errs []error
	for i, n := range items.Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		item := Document{Source: d.Source, Line: n.Line, Format: d.Format, Text: list.Items[i], Node: n}
		if n.Kind != yaml.MappingNode {
			errs = append(errs, item.Problem("items["+strconv.Itoa(i)+"]", "is not a Kubernetes object: give apiVersion, kind, metadata and spec, or leave it out"))
			continue
		}
		inner, err := item.items(depth + 1)
		out, errs = append(out, inner...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// checkJSON says where JSON breaks off.
func (d *Document) checkJSON(text []byte) error {
	var syntax *json.SyntaxError
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	if err == nil {
		return nil
	}
	p := d.Problem("", "is not JSON: %v", err)
	if errors.As(err, &syntax) {
		p.Line += bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
	}
	return p
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlProblem says where YAML is wrong, as its reader does.
func (d *Document) yamlProblem(err error) error {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	text = strings.Join(strings.Fields(text), " ")
	p := d.Problem("", "%s", text)
	if found := yamlLine.FindStringSubmatch(text); found != nil {
		line, _ := strconv.Atoi(found[1])
		p.Line, p.Text = d.Line+line-1, strings.Replace(text, found[0], "", 1)
	}
	p.Text = "is not " + strings.ToUpper(string(d.Format)) + ": " + p.Text
	return p
}

// parseNode is nil for a document of nothing.
func parseNode(text []byte, format Format) (*yaml.Node, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(untabbed(text, format), &n); err != nil || len(n.Content) == 0 {
		return nil, err
	}
	return n.Content[0], nil
}

// untabbed is JSON as YAML: a tab between tokens is the only character of JSON
// that YAML does not take.
func untabbed(text []byte, format Format) []byte {
	if format != JSON {
		return text
	}
	return bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
}

func shift(n *yaml.Node, lines int) {
	n.Line += lines
	for _, c := range n.Content {
		shift(c, lines)
	}
}
