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
	placed := mark
	placed.Cells = []v1alpha1.PlacedCell{
		{ID: 0, CPU: 1, Memory: 256 * mib, CPUs: "3", Idle: "11"},
		{ID: 4, CPU: 1, Memory: 256 * mib},
	}
	placed.Devices = []v1alpha1.PlacedDevice{
		{Name: "gpu", Address: "0000:3b:00.0"},
		{Name: "25g-vf", Address: "0000:5e:02.3"},
	}
	asked := mark
	asked.Operation = "0d0b6f4e-5b1c-4c1f-9d57-1f6ad1f0a002"
	recorded := placed
	recorded.Spec = "1:0 domain.os.firmware=c2UpS9EX resources.cpu=a4ayc_80"
	growing := plain
	growing.Granted.MaxCPU, growing.Granted.MaxMemory = 8, 4096*mib
	for _, want := range []convert.Ownership{mark, plain, placed, asked, recorded, growing} {
		got, found, err := convert.ParseOwnership(want.XML())
		if err != nil || !found {
			t.Fatalf("found %v, error %v in %s", found, err, want.XML())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// libvirt puts what SetMetadata is given into the mark's namespace: that is done
// here as it does it, and must read as the mark that a domain is defined with.
func TestTheMarkThatIsSetIsTheMarkThatIsDefined(t *testing.T) {
	want := mark
	want.Cells = []v1alpha1.PlacedCell{{ID: 0, CPU: 2, Memory: 512 * mib, CPUs: "3,5", Idle: "11"}}
	want.Devices = []v1alpha1.PlacedDevice{{Name: "gpu", Address: "0000:3b:00.0"}}
	want.Spec = "1:0 resources.cpu=a4ayc_80"
	element := want.Element()
	if strings.Contains(element, "xmlns") || strings.Contains(element, convert.OwnershipPrefix+":") {
		t.Errorf("libvirt would add its namespace a second time: %s", element)
	}
	put := strings.NewReplacer("</", "</"+convert.OwnershipPrefix+":", "<", "<"+convert.OwnershipPrefix+":").Replace(element)
	put = strings.Replace(put, ":owner ", ":owner xmlns:"+convert.OwnershipPrefix+`="`+convert.OwnershipNamespace+`" `, 1)
	got, found, err := convert.ParseOwnership(put)
	if err != nil || !found {
		t.Fatalf("found %v, error %v in %s", found, err, put)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheMarkHasTheOperation(t *testing.T) {
	in := input(machine(t, ""))
	in.Operation = "op-uid"
	domain, err := convert.Domain(in)
	if err != nil {
		t.Fatal(err)
	}
	o, found, err := convert.ParseOwnership(domain.Metadata.XML)
	if err != nil || !found || o.Operation != "op-uid" {
		t.Error(o.Operation, found, err)
	}
}

func TestTheMarkHasThePlacement(t *testing.T) {
	vm := machine(t, "")
	vm.Status.Placement.Granted.CPU = 1
	vm.Status.Placement.Cells = []v1alpha1.PlacedCell{{ID: 1, CPU: 1, Memory: 512 * mib}}
	vm.Status.Placement.Devices = []v1alpha1.PlacedDevice{{Name: "gpu", Address: "0000:3b:00.0"}}
	domain, err := convert.Domain(input(vm))
	if err != nil {
		t.Fatal(err)
	}
	o, found, err := convert.ParseOwnership(domain.Metadata.XML)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if diff := cmp.Diff(*vm.Status.Placement, o.Placement("host-1")); diff != "" {
		t.Error(diff)
	}
}

// child is a mark of one vCPU and one byte that holds the XML.
func child(inside string) string {
	return `<d:owner xmlns:d="` + convert.OwnershipNamespace + `" ` + ownerAttributes + `>` + inside + `</d:owner>`
}

func TestParseOwnership(t *testing.T) {
	owner := convert.Ownership{
		ClusterID:  "c",
		Owner:      v1alpha1.Owner{Namespace: "n", Name: "m", UID: "u"},
		Generation: 1,
		Granted:    v1alpha1.GrantedResources{CPU: 1, Memory: 1},
	}
	inCell := owner
	inCell.Cells = []v1alpha1.PlacedCell{{ID: 2, CPU: 1, CPUs: "7"}}
	unreadable := owner
	unreadable.Spec = "nonsense"
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
		"no page size": {xml: `<d:owner xmlns:d="` + ns + `" ` + ownerAttributes + ` pageSize="4Ki"/>`, err: "attribute pageSize"},
		"a cell, among another's elements": {
			xml:   child(`<cell xmlns="urn:another" id="x"/><d:cell id="2" cpu="1" memory="0" cpus="7"/>`),
			want:  inCell,
			found: true,
		},
		"a record that tells nothing": {
			xml:   child(`<spec xmlns="urn:another">x</spec><d:spec> nonsense <b/></d:spec>`),
			want:  unreadable,
			found: true,
		},
		"a cell without a number": {xml: child(`<d:cell cpu="1" memory="0"/>`), err: "attribute id of a cell is missing"},
		"a cell of no CPUs":       {xml: child(`<d:cell id="0" cpu="1" memory="0" cpus="a"/>`), err: "must be host CPUs such as 0-3,8"},
		"a cell of half the vCPUs": {
			xml: child(`<d:cell id="0" cpu="0" memory="0"/>`), err: "must add up to granted.cpu, 1",
		},
		"a cell twice":           {xml: child(strings.Repeat(`<d:cell id="0" cpu="1" memory="1"/>`, 2)), err: "Duplicate value: 0"},
		"a device at no address": {xml: child(`<d:device name="gpu" address="3b:00.0"/>`), err: `is "3b:00.0", not a PCI address`},
		"a device of no name":    {xml: child(`<d:device address="0000:3b:00.0"/>`), err: "attribute name of a device is missing"},
		"two of them":            {xml: mark.XML() + mark.XML(), err: "names 2 owners"},
		"broken XML":             {xml: mark.XML() + "<x>", err: "reading the domain's metadata"},
		"cut in the mid":         {xml: mark.XML()[:40], err: "reading the domain's metadata"},
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
