package virtctl

import (
	"bytes"
	"testing"

	"domus.dev/domus/pkg/virtctl/failure"
)

func TestHintsNameTheNamespaceThatWasGiven(t *testing.T) {
	const text = "no: `virtctl start web-1 --wait` first, or see `virtctl get -A`, `virtctl start --help`, `virtctl get -n x` and `kubectl get nodes`"
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, text},
		{[]string{"-n", "demo"}, "no: `virtctl start -n demo web-1 --wait` first, or see `virtctl get -A`, `virtctl start --help`, `virtctl get -n x` and `kubectl get nodes`"},
		{[]string{"--namespace=no `name`"}, text},
	} {
		root := NewCommand("test", nil, &bytes.Buffer{}, &bytes.Buffer{})
		cmd, _, err := root.Find([]string{"pause"})
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		if got := hintsIn(cmd, text); got != test.want {
			t.Errorf("%q: %s", test.args, got)
		}
	}
	for line, want := range map[string]string{
		"virtctl": "virtctl: name VMs (see `virtctl get -n demo`), or choose them with --selector or --all\nSee `virtctl stop --help`.\n",
		// Under the name that was called.
		"kubectl-vm": "kubectl vm: name VMs (see `kubectl vm get -n demo`), or choose them with --selector or --all\nSee `kubectl vm stop --help`.\n",
	} {
		if code, _, errOut := runLocally(t, line, "stop", "-n", "demo"); code != failure.Misused || errOut != want {
			t.Errorf("%s: code %d, %s", line, code, errOut)
		}
	}
}
