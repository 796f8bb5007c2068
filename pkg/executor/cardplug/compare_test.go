package cardplug

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

func cardsOf(names ...string) []v1alpha1.VirtualMachineInterface {
	var out []v1alpha1.VirtualMachineInterface
	for _, name := range names {
		out = append(out, v1alpha1.VirtualMachineInterface{Name: name, NetworkName: "net-" + name})
	}
	return out
}

func TestCompare(t *testing.T) {
	to := map[string]convert.Card{"a": {Network: "na"}, "b": {Network: "nb"}}
	waits := map[string]string{"c": "it is being made"}
	attach := func(name string) Change {
		return Change{Action: Attach, Name: name, Entry: &v1alpha1.VirtualMachineInterface{Name: name, NetworkName: "net-" + name}, Card: to[name]}
	}
	for name, test := range map[string]struct {
		spec, record []string
		aliases      []string
		want         Comparison
	}{
		"all is as it shall be":                   {[]string{"a"}, []string{"a"}, []string{"ua-if-a", "net0"}, Comparison{Waits: map[string]string{}}},
		"a card more":                             {[]string{"a", "b"}, []string{"a"}, []string{"ua-if-a"}, Comparison{Changes: []Change{attach("b")}, Waits: map[string]string{}}},
		"a card fewer":                            {[]string{"a"}, []string{"a", "b"}, []string{"ua-if-a", "ua-if-b"}, Comparison{Changes: []Change{{Action: Detach, Name: "b"}}, Waits: map[string]string{}}},
		"one for another":                         {[]string{"b"}, []string{"a"}, []string{"ua-if-a"}, Comparison{Changes: []Change{{Action: Detach, Name: "a"}, attach("b")}, Waits: map[string]string{}}},
		"a network that is not there":             {[]string{"c"}, nil, nil, Comparison{Waits: map[string]string{"c": "it is being made"}}},
		"plugged in, and the record does not say": {[]string{"a", "b"}, []string{"a"}, []string{"ua-if-a", "ua-if-b"}, Comparison{Taken: []string{"b"}, Waits: map[string]string{}}},
		"given up, and the record does not say":   {[]string{"a"}, []string{"a", "b"}, []string{"ua-if-a"}, Comparison{Taken: []string{"b"}, Waits: map[string]string{}}},
		"somebody has taken it":                   {[]string{"a"}, []string{"a"}, nil, Comparison{Changes: []Change{attach("a")}, Waits: map[string]string{}}},
		// A user may have chosen such an alias in spec.domain.
		"a card that is not ours": {[]string{"a"}, []string{"a"}, []string{"ua-if-a", "ua-if-x"}, Comparison{Waits: map[string]string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			vm := &v1alpha1.VirtualMachine{Spec: v1alpha1.VirtualMachineSpec{Interfaces: cardsOf(test.spec...)}}
			record := convert.RecordSpec(&v1alpha1.VirtualMachineSpec{Interfaces: cardsOf(test.record...)})
			var has []libvirt.Card
			for _, alias := range test.aliases {
				has = append(has, libvirt.Card{Alias: alias})
			}
			got := Compare(vm, record, has, to, waits)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, c := range got.Changes {
				if !got.Concerns(c.Name) {
					t.Errorf("it does not concern %s", c.Name)
				}
			}
		})
	}
}
