package cluster

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/virtctl/failure"
)

func TestName(t *testing.T) {
	for given, want := range map[string]string{
		"ag": "ag", "vm/ag": "ag", "VirtualMachine/ag": "ag", "virtualmachines.domus.dev/ag": "ag", "a.b": "a.b",
		"": "", "vm/": "", "pod/ag": "", "vm/a/b": "", "/ag": "", "a%b": "", "..": "", "Ag": "", "a_b": "", "-a": "", "a..b": "", strings.Repeat("a", 254): "",
	} {
		got, err := Name(given)
		if got != want || (err == nil) != (want != "") || err != nil && failure.CodeOf(err) != failure.Misused {
			t.Errorf("%q: %q, %v (code %d); want %q", given, got, err, failure.CodeOf(err), want)
		}
	}
	s := &Selection{}
	if err := s.Read([]string{"vm/a", "a", "b"}); err != nil || len(s.Names) != 2 {
		t.Errorf("%q, %v", s.Names, err)
	}
}
