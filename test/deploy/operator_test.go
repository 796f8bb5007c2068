package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Prometheus Operator as Go's module proxy has it, and what that must be.
const (
	operatorModule = "github.com/prometheus-operator/prometheus-operator@v0.94.1"
	operatorSum    = "h1:QEIb2wenPH+SdMN1xMf8l4Pmj00YYXXI6HlbLlQWkww="
)

// operatorKinds are the definitions of the operator's kinds that are shipped objects
// of: the API server holds these against them.
func operatorKinds(t *testing.T) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", operatorModule)
	cmd.Dir = t.TempDir() // no module, whose go.mod would be asked
	// The sum is held against the one above.
	cmd.Env = append(os.Environ(), "GOSUMDB=off", "GOFLAGS=", "GOWORK=off")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fetching %s: %v: %s", operatorModule, err, out)
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	if module.Sum != operatorSum {
		t.Fatalf("%s is %s, not %s", operatorModule, module.Sum, operatorSum)
	}
	var all [][]byte
	for _, kind := range []string{"prometheusrules", "servicemonitors"} {
		document, err := os.ReadFile(filepath.Join(module.Dir, "example", "prometheus-operator-crd", "monitoring.coreos.com_"+kind+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, document)
	}
	return bytes.Join(all, []byte("\n---\n"))
}
