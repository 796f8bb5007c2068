package deploy

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// kubectl is the machine's own or the one that was built.
func kubectl() string {
	if path, err := exec.LookPath("kubectl"); err == nil {
		return path
	}
	return filepath.Join(tools, "kubectl")
}

// kustomize is what kubectl makes of an overlay.
func kustomize(t *testing.T, overlay string) []byte {
	t.Helper()
	return run(t, nil, kubectl(), "kustomize", filepath.Join(manifests, "overlays", overlay))
}

// helm is what the chart makes of values.
func helm(t *testing.T, args ...string) []byte {
	t.Helper()
	return run(t, nil, filepath.Join(tools, "helm"), append([]string{"template", "domus", chart, "--namespace", system}, args...)...)
}

// run returns what a program prints, and fails the test when it fails.
func run(t *testing.T, stdin []byte, program string, args ...string) []byte {
	t.Helper()
	out, complaint, err := try(stdin, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, complaint)
	}
	return out
}

func try(stdin []byte, program string, args ...string) (out []byte, complaint string, err error) {
	var stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err = cmd.Output()
	return out, stderr.String(), err
}

// objects are those of a file with several documents.
func objects(t *testing.T, documents []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(documents), 4096); ; {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}

// only is the object of a kind and name.
func only(t *testing.T, all []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, u := range all {
		if u.GetKind() == kind && u.GetName() == name {
			return u
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}
