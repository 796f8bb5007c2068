package placement

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/failure"
)

// load reads the VirtualMachine in a file, or in in when path is "-".
func load(path string, in io.Reader) (*v1alpha1.VirtualMachine, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading the VirtualMachine: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	vm, err := parse(in)
	var errs []error
	for _, e := range failure.List(err) {
		if e != nil {
			errs = append(errs, fmt.Errorf("reading %s: %w", path, e))
		}
	}
	return vm, errors.Join(errs...)
}

// parse reads one VirtualMachine, in YAML or JSON.
func parse(in io.Reader) (*v1alpha1.VirtualMachine, error) {
	var document []byte
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(in)); ; {
		next, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if empty(next) {
			continue
		}
		if document != nil {
			return nil, errors.New("there is more than one document: give one VirtualMachine")
		}
		document = next
	}
	if document == nil {
		return nil, errors.New("it is empty: give a VirtualMachine")
	}
	data, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	vm := &v1alpha1.VirtualMachine{}
	// The kind first: of another kind every field would be called unknown.
	if err := json.UnmarshalCaseSensitivePreserveInts(data, &vm.TypeMeta); err != nil {
		return nil, err
	}
	if vm.Kind != "VirtualMachine" || vm.APIVersion != v1alpha1.GroupVersion.String() {
		return nil, fmt.Errorf("kind %q of apiVersion %q is not a VirtualMachine of %s", vm.Kind, vm.APIVersion, v1alpha1.GroupVersion)
	}
	if err := documents.Misfits(data, reflect.TypeFor[v1alpha1.VirtualMachine]()); err != nil {
		return nil, err
	}
	// As strict as kubectl is, and with the path of what is wrong.
	strict, err := json.UnmarshalStrict(data, vm)
	if err := errors.Join(append(strict, err)...); err != nil {
		return nil, err
	}
	return vm, sized(&vm.Spec)
}

// sized refuses a VM of which nothing says how large it is.
func sized(spec *v1alpha1.VirtualMachineSpec) error {
	const remedy = "required: give it, or name a VirtualMachineClass in spec.class.name"
	var errs []error
	if spec.Class == nil && spec.Resources.CPU == 0 {
		errs = append(errs, errors.New("spec.resources.cpu: "+remedy))
	}
	if spec.Class == nil && spec.Resources.Memory.IsZero() {
		errs = append(errs, errors.New("spec.resources.memory: "+remedy))
	}
	return errors.Join(errs...)
}

// empty says whether a document has nothing but comments.
func empty(document []byte) bool {
	var content any
	return len(bytes.TrimSpace(document)) == 0 || yaml.Unmarshal(document, &content) == nil && content == nil
}
