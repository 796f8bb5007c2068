package convert

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestAMarkIsReplacedAndNothingElse(t *testing.T) {
	before := Ownership{
		ClusterID: "c", Owner: v1alpha1.Owner{Namespace: "ns", Name: "web", UID: "u", Epoch: 1}, Generation: 3,
		Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 1 << 20}, Spec: "1:0 a=b",
	}
	after := before
	after.Owner.Epoch, after.Operation = 7, "op"
	around := func(mark string) string {
		return "<domain type='kvm'>\n  <name>ns:web</name>\n  <metadata><!-- kept -->" + mark + "<x:y xmlns:x='urn:x'/></metadata>\n  <devices>\n<owner/></devices>\n</domain>\n"
	}
	got, err := ReplaceOwnership(around(before.XML()), after)
	if diff := cmp.Diff(around(after.XML()), got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	metadata := got[strings.Index(got, "<metadata>")+len("<metadata>") : strings.Index(got, "</metadata>")]
	mark, owned, err := ParseOwnership(metadata)
	if diff := cmp.Diff(after, mark); diff != "" || !owned || err != nil {
		t.Error(diff, owned, err)
	}
	for name, doc := range map[string]string{
		"none": around(""), "two": around(before.XML() + before.XML()), "broken": "<domain><metadata>", "elsewhere": "<domain>" + before.XML() + "</domain>",
	} {
		if _, err := ReplaceOwnership(doc, after); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
