package manifest

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestLoadOrdersObjectsSoThatTheyCanBeApplied(t *testing.T) {
	objects, err := Load(fstest.MapFS{
		"a.yaml":     file("kind: ValidatingWebhookConfiguration\nmetadata: {name: hook}\n---\nkind: ConfigMap\nmetadata: {name: one}\n"),
		"b/crd.yaml": file("kind: CustomResourceDefinition\nmetadata: {name: crd}\n---\n---\nkind: ConfigMap\nmetadata: {name: two}\n"),
		"c/ns.yaml":  file("# a comment\nkind: Namespace\nmetadata: {name: ns}\n"),
		"notes.md":   file("kind: Nonsense\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range objects {
		got = append(got, u.GetKind()+"/"+u.GetName())
	}
	want := []string{"Namespace/ns", "CustomResourceDefinition/crd", "ConfigMap/one", "ConfigMap/two", "ValidatingWebhookConfiguration/hook"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadRefusesWhatIsNoObject(t *testing.T) {
	for name, content := range map[string]string{"an object without a name": "kind: Namespace\n", "not YAML": "kind: [\n"} {
		t.Run(name, func(t *testing.T) {
			if _, err := Load(fstest.MapFS{"bad.yaml": file(content)}); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestEmbed(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"a webhook behind a service is reached by URL": {
			in:   "kind: ValidatingWebhookConfiguration\nmetadata: {name: hook}\nwebhooks:\n- name: a\n  clientConfig: {service: {name: s, namespace: n, path: /validate}}\n",
			want: "kind: ValidatingWebhookConfiguration\nmetadata: {name: hook}\nwebhooks:\n- name: a\n  clientConfig: {url: \"https://127.0.0.1:1/validate\"}\n",
		},
		"a webhook with a URL keeps it": {
			in:   "kind: MutatingWebhookConfiguration\nmetadata: {name: hook}\nwebhooks:\n- name: a\n  clientConfig: {url: \"https://x/\"}\n",
			want: "kind: MutatingWebhookConfiguration\nmetadata: {name: hook}\nwebhooks:\n- name: a\n  clientConfig: {url: \"https://x/\"}\n",
		},
		"a workload is left out": {
			in: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
		},
		"anything else is kept": {
			in:   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
			want: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in, err := parse([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			want, err := parse([]byte(tc.want))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Embed(in, func(path string) string { return "https://127.0.0.1:1" + path })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func file(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }
