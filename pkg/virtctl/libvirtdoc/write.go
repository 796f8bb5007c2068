package libvirtdoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	goyaml "go.yaml.in/yaml/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/documents"
)

// Formats are those in which objects are written.
var Formats = []string{string(documents.YAML), string(documents.JSON), string(documents.XML)}

// unfolded has YAML keep a long text in one line: a notation that is folded is
// easily removed by half, and the rest of it becomes part of what stands before it.
var unfolded = sync.OnceFunc(goyaml.FutureLineWrap)

// Text is an object in a format, with a line break at its end. Of the same object
// it is the same bytes.
func Text(obj client.Object, format documents.Format, opts objects.ToOptions) ([]byte, error) {
	if format == documents.XML {
		return objects.ToXML(obj, opts)
	}
	plain, err := Plain(obj)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if err := e.Encode(plain); err != nil {
		return nil, fmt.Errorf("writing %s: %w", obj.GetName(), err)
	}
	if format == documents.JSON {
		return out.Bytes(), nil
	}
	unfolded()
	text, err := yaml.JSONToYAML(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", obj.GetName(), err)
	}
	return text, nil
}

// Stream writes texts of a format as one file that is read as all of them: YAML
// parted by ---, XML one document after another, JSON as a List.
func Stream(out io.Writer, format documents.Format, texts [][]byte) error {
	var all bytes.Buffer
	switch {
	case format == documents.JSON && len(texts) != 1:
		list := struct {
			APIVersion string            `json:"apiVersion"`
			Items      []json.RawMessage `json:"items"`
			Kind       string            `json:"kind"`
		}{"v1", []json.RawMessage{}, "List"}
		for _, text := range texts {
			list.Items = append(list.Items, text)
		}
		e := json.NewEncoder(&all)
		e.SetEscapeHTML(false)
		e.SetIndent("", "    ")
		if err := e.Encode(list); err != nil {
			return fmt.Errorf("writing a List: %w", err)
		}
	case format == documents.YAML:
		all.Write(bytes.Join(texts, []byte("---\n")))
	default:
		all.Write(bytes.Join(texts, nil))
	}
	_, err := out.Write(all.Bytes())
	return err
}
