package convert_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

var mark = convert.Ownership{
	ClusterID:  `a "cluster" <&> more`,
	Owner:      v1alpha1.Owner{Namespace: "demo", Name: "web", UID: "0d0b6f4e-5b1c-4c1f-9d57-1f6ad1f0a001", Epoch: 5},
	Generation: 3,
	Granted:    v1alpha1.GrantedResources{CPU: 2, Memory: 512 * mib, Overhead: 145 * mib, PageSize: v1alpha1.PageSize2Mi},
}

const ownerAttributes = `cluster="c" namespace="n" name="m" uid="u" epoch="0" generation="1" cpu="1" memory="1" overhead="0"`

func TestOwnershipSurvivesTheWayThroughXML(t *testing.T) {
	plain := mark
	plain.Granted.PageSize = ""
	for _, want := range []convert.Ownership{mark, plain} {
		got, found, err := convert.ParseOwnership(want.XML())
		if err != nil || !found {
			t.Fatalf("found %v, error %v in %s", found, err, want.XML())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestParseOwnership(t *testing.T) {
	owner := convert.Ownership{
		ClusterID:  "c",
		Owner:      v1alpha1.Owner{Namespace: "n", Name: "m", UID: "u"},
		Generation: 1,
		Granted:    v1alpha1.GrantedResources{CPU: 1, Memory: 1},
	}
	const ns = convert.OwnershipNamespace
	tests := map[string]struct {
		xml   string
		want  convert.Ownership
		found bool
		err   string
	}{
		"nothing": {xml: ""},
		"somebody else's metadata": {
			xml: `<note xmlns="https://example.org/note">x</note><owner ` + ownerAttributes + `/>`,
		},
		"another prefix, among other elements": {
			xml:   `<x/> <d:owner xmlns:d="` + ns + `" ` + ownerAttributes + `/> <y><z/></y>`,
			want:  owner,
			found: true,
		},
		"no prefix":         {xml: `<owner xmlns="` + ns + `" ` + ownerAttributes + `/>`, want: owner, found: true},
		"inside another's":  {xml: `<x><d:owner xmlns:d="` + ns + `" ` + ownerAttributes + `/></x>`},
		"missing attribute": {xml: `<d:owner xmlns:d="` + ns + `" cluster="c"/>`, err: "attribute epoch is missing"},
		"no number": {
			xml: `<d:owner xmlns:d="` + ns + `" ` + strings.Replace(ownerAttributes, `epoch="0"`, `epoch="x"`, 1) + `/>`,
			err: `attribute epoch is "x", not a number from 0 up`,
		},
		"a number below zero": {
			xml: `<d:owner xmlns:d="` + ns + `" ` + strings.Replace(ownerAttributes, `cpu="1"`, `cpu="-1"`, 1) + `/>`,
			err: `attribute cpu is "-1"`,
		},
		"no page size":   {xml: `<d:owner xmlns:d="` + ns + `" ` + ownerAttributes + ` pageSize="4Ki"/>`, err: "attribute pageSize"},
		"two of them":    {xml: mark.XML() + mark.XML(), err: "names 2 owners"},
		"broken XML":     {xml: mark.XML() + "<x>", err: "reading the domain's metadata"},
		"cut in the mid": {xml: mark.XML()[:40], err: "reading the domain's metadata"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, found, err := convert.ParseOwnership(test.xml)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || found {
					t.Errorf("got %v, %v, want %s", found, err, test.err)
				}
				return
			}
			if err != nil || found != test.found {
				t.Fatalf("got %v, %v, want %v", found, err, test.found)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
