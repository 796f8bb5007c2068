package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// ofKubernetes are fields whose types are Kubernetes' own: they are not told again.
var ofKubernetes = map[string]string{
	"affinity":                  "Affinity of Pods",
	"tolerations":               "Tolerations of Pods",
	"topologySpreadConstraints": "TopologySpreadConstraints of Pods",
	"conditions":                "Conditions",
	"selector":                  "LabelSelector",
}

// kinds has a section for each CustomResourceDefinition of the folders.
func kinds(base, preview string) (string, error) {
	var out, list strings.Builder
	out.WriteString(generated + "# Fields of every kind\n\nGroup `domus.dev`, version `v1alpha1`. What they are for is on [a page for each kind](../kinds/README.md). `[]` stands for each item of a list.\n\n")
	var body strings.Builder
	for _, dir := range []string{base, preview} {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			return "", err
		}
		slices.Sort(files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			crd := &apiextensions.CustomResourceDefinition{}
			if err := yaml.UnmarshalStrict(text, crd); err != nil {
				return "", fmt.Errorf("reading %s: %w", file, err)
			}
			kind := crd.Spec.Names.Kind
			fmt.Fprintf(&list, "- [%s](#%s)\n", kind, strings.ToLower(kind))
			body.WriteString(section(crd, dir == preview))
		}
	}
	out.WriteString(list.String() + body.String())
	return out.String(), nil
}

func section(crd *apiextensions.CustomResourceDefinition, preview bool) string {
	var out strings.Builder
	names, version := crd.Spec.Names, crd.Spec.Versions[0]
	fmt.Fprintf(&out, "\n## %s\n\n%s\n\n", names.Kind, cell(version.Schema.OpenAPIV3Schema.Description))
	scope := "in a namespace"
	if crd.Spec.Scope == apiextensions.ClusterScoped {
		scope = "of the cluster"
	}
	fmt.Fprintf(&out, "`%s`", names.Plural)
	if len(names.ShortNames) > 0 {
		fmt.Fprintf(&out, ", short `%s`", strings.Join(names.ShortNames, "`, `"))
	}
	out.WriteString("; " + scope)
	if preview {
		out.WriteString("; not installed, since nothing acts on it yet")
	}
	out.WriteString(".\n")
	if fields := version.SelectableFields; len(fields) > 0 {
		var paths []string
		for _, f := range fields {
			paths = append(paths, "`"+strings.TrimPrefix(f.JSONPath, ".")+"`")
		}
		fmt.Fprintf(&out, "\nField selectors: %s.\n", strings.Join(paths, ", "))
	}
	for _, part := range []string{"spec", "status"} {
		schema, there := version.Schema.OpenAPIV3Schema.Properties[part]
		if !there || (len(schema.Properties) == 0 && len(schema.XValidations) == 0) {
			continue
		}
		fmt.Fprintf(&out, "\n| field of %s | type | | |\n|---|---|---|---|\n", names.Kind)
		fields(&out, part, &schema, false)
	}
	return out.String()
}

// fields writes a row for the field at path, and for all beneath it.
func fields(out *strings.Builder, path string, schema *apiextensions.JSONSchemaProps, required bool) {
	name := path[strings.LastIndexByte(path, '.')+1:]
	kind := typeOf(schema)
	theirs, foreign := ofKubernetes[name]
	if foreign {
		kind = theirs
	}
	fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", path, cell(kind), limits(schema, required), cell(schema.Description))
	if foreign {
		return
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		path, schema = path+"[]", schema.Items.Schema
	}
	names := make([]string, 0, len(schema.Properties))
	for n := range schema.Properties {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		child := schema.Properties[n]
		fields(out, path+"."+n, &child, slices.Contains(schema.Required, n))
	}
}

func typeOf(s *apiextensions.JSONSchemaProps) string {
	switch {
	case s.XIntOrString:
		return "quantity"
	case s.Type == "array" && s.Items != nil && s.Items.Schema != nil:
		return "list of " + typeOf(s.Items.Schema)
	case s.Type == "object" && s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		return "map of " + typeOf(s.AdditionalProperties.Schema)
	case s.Format == "date-time":
		return "time"
	case s.Format == "byte":
		return "base64"
	case s.Type == "":
		return "any"
	}
	return s.Type
}

// limits says what values a field may have.
func limits(s *apiextensions.JSONSchemaProps, required bool) string {
	var all []string
	if required && s.Default == nil {
		all = append(all, "required")
	}
	if s.Default != nil {
		all = append(all, "default `"+string(s.Default.Raw)+"`")
	}
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			var text string
			if json.Unmarshal(v.Raw, &text) != nil {
				text = string(v.Raw)
			}
			values = append(values, code(text))
		}
		all = append(all, strings.Join(values, " "))
	}
	number := func(what string, n *float64) {
		if n != nil {
			all = append(all, what+" "+strconv.FormatFloat(*n, 'f', -1, 64))
		}
	}
	number("at least", s.Minimum)
	number("at most", s.Maximum)
	count := func(what string, n *int64, unit string) {
		if n != nil {
			all = append(all, fmt.Sprintf("%s %d %s", what, *n, unit))
		}
	}
	count("at least", s.MinLength, "characters")
	count("at most", s.MaxLength, "characters")
	count("at least", s.MinItems, "items")
	count("at most", s.MaxItems, "items")
	count("at most", s.MaxProperties, "keys")
	if s.Pattern != "" && !s.XIntOrString {
		all = append(all, code(s.Pattern))
	}
	for _, rule := range s.XValidations {
		if rule.Message != "" {
			all = append(all, cell(rule.Message))
		}
	}
	return strings.Join(all, "; ")
}
