package complete

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

func TestWhatTheKubeconfigHasIsCompleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	text := `apiVersion: v1
kind: Config
clusters: [{name: east, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: ada, user: {}}]
contexts: [{name: two, context: {cluster: east, user: ada}}, {name: one, context: {cluster: east, user: ada}}]
current-context: one
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config := genericclioptions.NewConfigFlags(true)
	config.KubeConfig = &path
	root := &cobra.Command{Use: "virtctl"}
	config.AddFlags(root.PersistentFlags())
	Scope(root, config)
	for flag, want := range map[string][]string{"context": {"one", "two"}, "cluster": {"east"}, "user": {"ada"}} {
		fn, found := root.GetFlagCompletionFunc(flag)
		if !found {
			t.Errorf("--%s completes nothing", flag)
			continue
		}
		got, directive := fn(root, nil, "")
		if diff := cmp.Diff(want, got); diff != "" || directive != cobra.ShellCompDirectiveNoFileComp {
			t.Errorf("--%s: directive %v\n%s", flag, directive, diff)
		}
	}
}
