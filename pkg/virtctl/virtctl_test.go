package virtctl

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/virtctl/failure"
)

// runLocally runs a command line that asks no cluster.
func runLocally(t *testing.T, argv ...string) (failure.Code, string, string) {
	t.Helper()
	t.Setenv("KUBECONFIG", "/dev/null")
	var out, errOut bytes.Buffer
	code := run(t.Context(), argv, "1.2.3", strings.NewReader(""), &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestCommandLinesThatAreWrong(t *testing.T) {
	for line, want := range map[string]string{
		"virtctl sttart":                                 "virtctl: there is no command \"sttart\": is it start?\nSee `virtctl --help`.\n",
		"kubectl-vm sttart":                              "kubectl vm: there is no command \"sttart\": is it start?\nSee `kubectl vm --help`.\n",
		"virtctl start":                                  "virtctl: name VMs (see `virtctl get`), or choose them with --selector or --all\nSee `virtctl start --help`.\n",
		"/usr/bin/kubectl-vm start":                      "kubectl vm: name VMs (see `kubectl vm get`), or choose them with --selector or --all\nSee `kubectl vm start --help`.\n",
		"virtctl start a --all":                          "one of them",
		"virtctl start a --bad":                          "unknown flag: --bad",
		"virtctl start a --timeout=0":                    "--timeout=0s: must be from 1s to 24h0m0s",
		"virtctl stop -l a=b=c":                          "--selector=a=b=c",
		"virtctl restart a --timeout=48h":                "--timeout=48h0m0s: must be from 1s to 24h0m0s",
		"virtctl wait a":                                 "--for=running",
		"virtctl wait a --for=up":                        "nothing to wait for",
		"virtctl screenshot":                             "virtctl: name a VM (see `virtctl get`)\nSee `virtctl screenshot --help`.\n",
		"virtctl screenshot a b":                         "virtctl: screenshot takes one VM: give one of [\"a\" \"b\"]\n",
		"virtctl ssh-key a b":                            "ssh-key takes one VM",
		"virtctl password a b":                           "password takes one VM",
		"virtctl explain a b":                            "explain takes one VM",
		"virtctl fit a b":                                "fit takes one VM",
		"virtctl send-key a":                             "such as ctrl-alt-delete",
		"virtctl send-key a b --hold=1m":                 "--hold=1m0s",
		"virtctl password a":                             "--hash=-",
		"virtctl password a --hash=secret":               "openssl passwd -6",
		"virtctl password a --guest-user=a;b --hash=x":   "--guest-user=\"a;b\"",
		"virtctl ssh-key a":                              "id_ed25519.pub",
		"virtctl get a -A":                               "leave out --all-namespaces",
		"virtctl get a b -w":                             "--watch takes one name",
		"virtctl get -o picture":                         "picture",
		"virtctl top --sort-by=name":                     "--sort-by=name: must be cpu or memory",
		"virtctl describe":                               "name VMs",
		"virtctl explain":                                "name a VM",
		"virtctl fit --cpu 4":                            "both --cpu and --memory",
		"virtctl fit --cpu 4.5 --memory 1Gi":             "virtctl: --cpu=4.5: 4.5 is not a whole number\n",
		"virtctl fit --cpu 99999999999 --memory 1Gi":     "--cpu=99999999999: 99999999999 is out of range",
		"virtctl fit --cpu -3 --memory 1Gi":              "--cpu=-3: must be a whole number from 1 to 4096",
		"virtctl send-key a ctrl++a":                     "\"ctrl++a\" names no key before, after or between its separators",
		"virtctl restart web_1":                          "\"web_1\" cannot be the name of a VM",
		"virtctl fit --cpu 1 --memory 1Gi --numa near":   "--numa=near: must be none, single-cell, restricted or spread",
		"virtctl fit --cpu 1 --memory 1Gi --threads x":   "--threads=x: must be together or apart",
		"virtctl explain a --limit -1":                   "--limit=-1: must be from 0 to 5000",
		"virtctl stop pod/ag --wait":                     "\"pod/ag\" is no VM: give the name alone, or vm/NAME",
		"virtctl screenshot pod/ag":                      "\"pod/ag\" is no VM",
		"virtctl send-key a%b enter":                     "\"a%b\" cannot be the name of a VM: a name has small letters",
		"virtctl explain pod/ag":                         "\"pod/ag\" is no VM",
		"virtctl get pod/ag":                             "\"pod/ag\" is no VM",
		"virtctl get x -w --field-selector spec.x=1":     "give names or --field-selector, not both",
		"virtctl completion tcsh":                        "tcsh",
		"kubectl-vm completion":                          "ln -s kubectl-vm",
		"virtctl version extra":                          "extra",
		"virtctl convert":                                "say what to read: -f FILE, or --connect URI",
		"virtctl convert web":                            "say what to read",
		"virtctl convert -f a web":                       "a file is given with -f",
		"virtctl convert -f a --connect b":               "not both",
		"virtctl convert -f a -o xlsx":                   "--output=xlsx is no format: choose one of yaml, json, xml",
		"virtctl convert -f a --force":                   "--force is about the files of --directory",
		"virtctl convert -c test:///default --kind=vm":   "--kind=vm: must be among domain",
		"virtctl import -f a --all":                      "--all is about the domains at --connect URI",
		"virtctl import --connect test:///default":       "name domains (see `virsh -c test:///default list --all`), or give --all",
		"virtctl import -c test:///default a --all":      "give names or --all, not both",
		"virtctl import -f a --dry-run=maybe":            "--dry-run=maybe: must be one of none, client, server",
		"virtctl import -f a --policy-level=open":        "--policy-level=open: must be one of restricted, privileged",
		"virtctl import -f a --name=Web":                 "--name=\"Web\" cannot be the name of a VM",
		"virtctl import -c test:///default a b --name=c": "--name=c is for one domain",
		"virtctl import -f a --node=a/b":                 "--node=\"a/b\" cannot be the name of a Node",
		"virtctl export":                                 "name VMs",
		"virtctl export a -o table":                      "--output=table is no format",
	} {
		code, out, errOut := runLocally(t, strings.Fields(line)...)
		if code != failure.Misused || out != "" || !strings.Contains(errOut, want) || strings.Contains(errOut, "secret") {
			t.Errorf("%s: code %d, %q, %q; want %q", line, code, out, errOut, want)
		}
	}
}

func TestWhatNeedsNoCluster(t *testing.T) {
	for line, want := range map[string]string{
		"virtctl":                                                         "A VM's life:",
		"virtctl --help":                                                  "Exit codes:",
		"virtctl help start":                                              "virtctl start web-1 --wait",
		"kubectl-vm start --help":                                         "kubectl vm start (NAME... | -l SELECTOR | --all) [flags]",
		"/opt/kubectl-vm.exe stop --help":                                 "kubectl vm stop -l app=web",
		"virtctl version --client":                                        "virtctl: 1.2.3\n",
		"virtctl completion bash":                                         "bash completion V2 for virtctl",
		"virtctl completion zsh":                                          "#compdef virtctl",
		"virtctl completion fish":                                         "fish completion for virtctl",
		"virtctl completion powershell":                                   "Register-ArgumentCompleter",
		"kubectl_complete-vm sta":                                         "start\tHave VMs run\n",
		"kubectl_complete-vm wait --for=run":                              "running\n",
		"virtctl __complete top --sort-by mem":                            "memory\n",
		"virtctl __complete fit --numa si":                                "single-cell\n",
		"kubectl_complete-vm convert -o y":                                "yaml\n",
		"kubectl_complete-vm import --dry-run=s":                          "server\n",
		"kubectl_complete-vm import -c test:///default t":                 "test\tactive\n",
		"kubectl_complete-vm convert --connect=qemu:///s":                 "qemu:///system\n",
		"kubectl_complete-vm convert -c test:///default -o yaml --kind=p": "pool\n",
		"kubectl-vm convert --help":                                       "virsh dumpxml web | kubectl vm convert -f -",
	} {
		code, out, errOut := runLocally(t, strings.Fields(line)...)
		if code != failure.Done || !strings.Contains(out, want) {
			t.Errorf("%s: code %d, %q, %q; want %q", line, code, out, errOut, want)
		}
	}
}

// Each verb says what it does and gives an example, and completes what it takes.
func TestEachVerbIsDocumented(t *testing.T) {
	root := NewCommand("test", nil, &bytes.Buffer{}, &bytes.Buffer{})
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short is %q", c.Name(), c.Short)
		}
		if c.Name() == "version" {
			continue
		}
		if c.Long == "" || !strings.Contains(c.Example, "virtctl "+c.Name()) {
			t.Errorf("%s: example is %q", c.Name(), c.Example)
		}
		if c.ValidArgsFunction == nil && c.ValidArgs == nil {
			t.Errorf("%s completes nothing", c.Name())
		}
	}
	want := []string{
		"cdrom", "completion", "convert", "describe", "disk", "explain", "export", "fit", "get", "host", "image", "import", "map", "password", "pause", "reset", "restart", "resume",
		"screenshot", "send-key", "snapshot", "ssh-key", "start", "stop", "suspend", "top", "version", "wait",
	}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("verbs are %q", names)
	}
}

func TestNothingOfVirtctlIsLeftInThePluginsTexts(t *testing.T) {
	root := newCommand(kubectlPlugin, "test", nil, &bytes.Buffer{}, &bytes.Buffer{})
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if text := c.UsageString() + c.Long; strings.Contains(text, "virtctl ") && c.HasParent() {
			t.Errorf("%s: %s", c.Name(), text)
		}
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(root)
}
