// Package yamlnode looks into YAML that has been parsed and keeps its lines.
package yamlnode

import yaml "go.yaml.in/yaml/v3"

// Member is the value of a key of a mapping; nil where there is none.
func Member(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
