package convert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
	"domus.dev/domus/pkg/virtctl/failure"
)

type result struct {
	out, notes string
	err        error
	code       failure.Code
}

func run(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := New(genericiooptions.IOStreams{In: strings.NewReader(in), Out: &out, ErrOut: &errOut})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return result{out.String(), errOut.String(), err, failure.CodeOf(err)}
}

// said are the errors, each of which is a line of its own.
func (r result) said() []string {
	var out []string
	for _, err := range failure.List(r.err) {
		out = append(out, err.Error())
	}
	return out
}

const (
	web = `<domain type='kvm'>
  <name>Web 1</name>
  <uuid>11111111-1111-4111-8111-111111111111</uuid>
  <metadata><a:app xmlns:a='https://example.com/app'>shop</a:app></metadata>
  <memory unit='GiB'>2</memory>
  <vcpu placement='static' current='1'>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <on_poweroff>destroy</on_poweroff>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a &amp; b.qcow2'/><target dev='vda' bus='virtio'/><serial>000123</serial></disk>
    <interface type='network'><source network='default'/></interface>
  </devices>
</domain>`
	network = `<network><name>lan</name><bridge name='virbr7'/><ip address='192.0.2.1' netmask='255.255.255.0'/></network>`
	pool    = `<pool type='dir'><name>images</name><target><path>/images</path></target></pool>`
)

func TestWhatIsConvertedThereAndBackIsTheSame(t *testing.T) {
	for name, text := range map[string]string{
		"domain": web, "network": network, "pool": pool,
		"volume":         `<volume type='file'><name>demo.img</name><capacity unit='GiB'>3</capacity><target><format type='qcow2'/></target></volume>`,
		"domainsnapshot": `<domainsnapshot><name>before</name><description>the upgrade</description><disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>`,
	} {
		for _, format := range []string{"yaml", "json"} {
			there := run(t, text, "-f", "-", "-o", format)
			if there.err != nil {
				t.Errorf("%s to %s: %v", name, format, there.err)
				continue
			}
			back := run(t, there.out, "-f", "-")
			if back.err != nil {
				t.Errorf("%s back from %s: %v", name, format, back.err)
				continue
			}
			for _, d := range xmldoc.Compare(parse(t, text), parse(t, back.out), document.Rules()) {
				t.Errorf("%s by way of %s: %s", name, format, d)
			}
			if again := run(t, back.out, "-f", "-", "-o", format); again.out != there.out {
				t.Errorf("%s: %s", name, cmp.Diff(there.out, again.out))
			}
		}
	}
}

func parse(t *testing.T, text string) *xmldoc.Document {
	t.Helper()
	doc, err := xmldoc.Parse("", []byte(text), xmldoc.Limits{})
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}

// A stream of many stays a stream of as many in every format, in its order.
func TestManyDocumentsInAndOut(t *testing.T) {
	stream := web + "\n\n" + network + "\n" + pool + "\n"
	yaml := run(t, stream, "-f", "-")
	json := run(t, stream, "-f", "-", "-o", "json")
	if yaml.err != nil || json.err != nil || strings.Count(yaml.out, "---\n") != 2 || !strings.HasPrefix(json.out, "{\n    \"apiVersion\": \"v1\",\n    \"items\": [") {
		t.Fatalf("%v, %v:\n%s\n%s", yaml.err, json.err, yaml.out, json.out)
	}
	fromYAML, fromJSON := run(t, yaml.out, "-f", "-"), run(t, json.out, "-f", "-")
	if fromYAML.err != nil || fromYAML.out != fromJSON.out {
		t.Errorf("%v, %v: %s", fromYAML.err, fromJSON.err, cmp.Diff(fromYAML.out, fromJSON.out))
	}
	order := []int{strings.Index(fromYAML.out, "<domain"), strings.Index(fromYAML.out, "<network>"), strings.Index(fromYAML.out, "<pool")}
	if order[0] != 0 || order[1] < order[0] || order[2] < order[1] {
		t.Errorf("the order is %v", order)
	}
}

func TestEachThatFailsIsToldAndTheOthersAreConverted(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"1-good.xml":      pool,
		"2-truncated.xml": "<domain type='kvm'>\n  <devices>\n    <disk type='file'>\n",
		"3-bomb.xml":      "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>\n<domain><name>&b;</name></domain>",
		"4-html.xml":      "<html/>",
		"5-large.xml":     "<domain><description>" + strings.Repeat("x", 128<<10) + "</description></domain>",
		"6-numbers.xml":   network + "\n<domain type='kvm'>\n  <name>a</name>\n  <memory>lots</memory>\n</domain>\n",
		"7-keys.yaml":     "apiVersion: domus.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: a}\nspec:\n  resources: {cpu: 1, memory: 1Gi}\n  domain:\n    devices:\n      disks:\n      - target: {dev: vda}\n        sourc: {}\n",
		"8-kinds.yaml":    "apiVersion: v1\nkind: Pod\n---\napiVersion: domus.dev/v1alpha1\nkind: Machine\n---\napiVersion: domus.dev/v1alpha1\nkind: VirtualMachine\nspec: {resources: {cpus: 1}}\n---\napiVersion: domus.dev/v1alpha1\nkind: VirtualMachineClass\nmetadata: {name: c}\nspec: {}\n",
		"9-quotes.json":   "{\"apiVersion\": \"domus.dev/v1alpha1\", \"kind\": \"VirtualMachine\",\n\"spec\": {\"resources\": {\n\t\"cpu\": \"2\", \"memory\": \"1Gi\"}}}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := run(t, "", "-f", dir, "-o", "yaml")
	if got.code != failure.Some || strings.Count(got.out, "kind: ") != 4 {
		// A class is an object, if none of libvirt's.
		t.Errorf("code %d, printed %s", got.code, got.out)
	}
	want := []string{
		"2-truncated.xml:3:23: domain/devices/disk: is truncated",
		"3-bomb.xml:1:1: has a document type declaration",
		"4-html.xml:1:1: is not libvirt: root element <html>",
		"5-large.xml:1: is too large: 131",
		"6-numbers.xml:4:3: domain/memory: is \"lots\"",
		"8-kinds.yaml:1: apiVersion: \"v1\" is not \"domus.dev/v1alpha1\"",
		"8-kinds.yaml:5: kind: there is no kind \"Machine\"",
		"8-kinds.yaml:9: spec.resources.cpus: unknown field",
		"9-quotes.json:3: spec.resources.cpu: \"2\" is given: expected is a whole number",
	}
	said := got.said()
	for i := range max(len(want), len(said)) {
		switch {
		case i >= len(said):
			t.Errorf("not told: %s", want[i])
		case i >= len(want):
			t.Errorf("told too: %s", said[i])
		case !strings.HasPrefix(said[i], filepath.Join(dir, want[i])):
			t.Errorf("told %s, want %s", said[i], want[i])
		}
	}
	// What no libvirt takes is told when it is to become XML, at its line.
	got = run(t, "", "-f", filepath.Join(dir, "7-keys.yaml"), "-f", filepath.Join(dir, "8-kinds.yaml"))
	said = got.said()
	for _, want := range []string{"7-keys.yaml:10: spec.domain.devices.disks[0].sourc: ", `did you mean "source"?`, "8-kinds.yaml:11: ", "no libvirt documents"} {
		if got.code != failure.General || !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("code %d, told %q, want %s", got.code, said, want)
		}
	}
}

func TestWithoutAFormatAllMustBeOfOneSide(t *testing.T) {
	object := run(t, pool, "-f", "-").out
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(object), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, network, "-f", "-", "-f", filepath.Join(dir, "a.yaml"))
	if got.code != failure.Misused || !strings.Contains(got.err.Error(), "say with --output") {
		t.Errorf("%v (code %d)", got.err, got.code)
	}
}

func TestTheStyleOf2019BecomesTodays(t *testing.T) {
	old, err := os.ReadFile("../../convert/testdata/underscore.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, string(old), "-f", "-")
	for _, want := range []string{"apiVersion: domus.dev/v1alpha1", "onPoweroff: destroy", `serial: "000123"`, "name: web-1"} {
		if got.err != nil || !strings.Contains(got.out, want) {
			t.Errorf("%v, %s lacks %s", got.err, got.out, want)
		}
	}
	for _, want := range []string{"standard input:58: spec.domain.devices.disk[1].serial.text: 123 is a number where libvirt takes text", "lifecycle, nodeName"} {
		if !strings.Contains(got.notes, want) {
			t.Errorf("%s lacks %s", got.notes, want)
		}
	}
	if wrong := run(t, "kind: VirtualMachine\nspec:\n  domain:\n    _type: kvm\n    memory: {text: lots}\n", "-f", "-"); wrong.err == nil || !strings.Contains(wrong.err.Error(), `domain/memory: is "lots"`) {
		t.Errorf("a number that is none: %v", wrong.err)
	}
}

func TestWhatNoTypeHasIsKeptAndTold(t *testing.T) {
	got := run(t, "<domain type='kvm'>\n<name>a</name><memory>1048576</memory><os><type>hvm</type></os>\n<devices>\n<flux capacitor='yes'/>\n</devices></domain>", "-f", "-")
	if got.err != nil || !strings.Contains(got.notes, "note: standard input:4: spec.domain.devices.other[0]: <flux> is not known here, and kept as it is") {
		t.Errorf("%v, %s", got.err, got.notes)
	}
	if back := run(t, got.out, "-f", "-"); !strings.Contains(back.out, "<flux capacitor='yes'/>") {
		t.Error(back.out)
	}
}

func TestAnAttributeThatNoTypeHasIsToldAtItsLine(t *testing.T) {
	got := run(t, "<domain type='kvm'>\n<name>a</name><memory>1048576</memory><os><type>hvm</type></os>\n<devices>\n<disk type='file'\n colour='red'/>\n</devices></domain>", "-f", "-")
	if got.err != nil || !strings.Contains(got.notes, `note: standard input:5: spec.domain.devices.disks[0].other[0]: the attribute colour="red" is not known here`) {
		t.Errorf("%v, %s", got.err, got.notes)
	}
}

// virsh vol-dumpxml prints a <source> of each volume.
func TestTheSourceOfAVolumeIsNoNews(t *testing.T) {
	got := run(t, "<volume type='file'><name>a</name><source>\n</source><capacity unit='bytes'>1024</capacity></volume>", "-f", "-")
	if back := run(t, got.out, "-f", "-"); got.err != nil || got.notes != "" || !strings.Contains(back.out, "<source>\n") {
		t.Errorf("%v, %s%s", got.err, got.notes, back.out)
	}
}

func TestANotationIsInOneLine(t *testing.T) {
	name := strings.Repeat("a long name ", 30)
	got := run(t, "<domain type='kvm'><name>"+name+"b</name><memory>1048576</memory></domain>", "-f", "-")
	for line := range strings.Lines(got.out) {
		if strings.Contains(line, "libvirt-notation") && strings.Contains(line, name) {
			return
		}
	}
	t.Errorf("%v\n%s", got.err, got.out)
}

func TestAmountsThatLibvirtCannotSayAreRefused(t *testing.T) {
	for memory, want := range map[string]string{
		"-1Gi": "standard input:6: spec.resources.memory: -1Gi is less than nothing",
		"512m": "standard input:6: spec.resources.memory: 512m is no whole number of bytes: M is a million",
		"1e40": "standard input:6: spec.resources.memory: 10e39 is more than libvirt can say",
	} {
		got := run(t, "apiVersion: domus.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: a}\nspec:\n  resources:\n    memory: "+memory+"\n    cpu: 1\n", "-f", "-")
		if got.err == nil || !strings.HasPrefix(got.err.Error(), want) || got.out != "" {
			t.Errorf("%s: %v, want %s\n%s", memory, got.err, want, got.out)
		}
	}
	if got := run(t, "apiVersion: domus.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: a}\nspec:\n  resources: {memory: 1.5Gi, cpu: 1}\n", "-f", "-"); got.err != nil {
		t.Error(got.err)
	}
}

func TestNothingToConvertIsTold(t *testing.T) {
	if got := run(t, "kind: List\nitems: []\n", "-f", "-"); got.err != nil || got.out != "" || got.notes != "There is nothing to convert.\n" {
		t.Errorf("%v, %q, %q", got.err, got.out, got.notes)
	}
}

func TestFlagsThatSayNothingAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-f", "-", "--kind=network"}, {"-f", "-", "--bare", "-o", "yaml"}} {
		if got := run(t, web, args...); got.code != failure.Misused {
			t.Errorf("%v: %v (code %d)", args, got.err, got.code)
		}
	}
}

// A terminal has nothing to read until somebody types.
func TestWaitingForInputEndsWithTheCommand(t *testing.T) {
	in, write := io.Pipe()
	defer func() { _ = write.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := New(genericiooptions.IOStreams{In: in, Out: io.Discard, ErrOut: io.Discard})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"-f", "-"})
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits on")
	}
}

func TestFilesOfAFolderAreWrittenWholeAndNotOverwritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	stream := web + network
	first := run(t, stream, "-f", "-", "-d", dir)
	want := filepath.Join(dir, "web-1.yaml") + "\n" + filepath.Join(dir, "virtualnetwork-lan.yaml") + "\n"
	if first.err != nil || first.out != want {
		t.Fatalf("%v, %s", first.err, first.out)
	}
	if again := run(t, stream, "-f", "-", "-d", dir); again.err != nil || again.out != want {
		t.Errorf("the same once more: %v, %s", again.err, again.out)
	}
	file := filepath.Join(dir, "web-1.yaml")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, stream, "-f", "-", "-d", dir)
	if got.code != failure.Some || !strings.Contains(got.err.Error(), "is there and says something else: give --force") {
		t.Errorf("%v (code %d)", got.err, got.code)
	}
	if text, _ := os.ReadFile(file); string(text) != "mine" {
		t.Errorf("it was overwritten by %s", text)
	}
	if got := run(t, stream, "-f", "-", "-d", dir, "--force"); got.err != nil {
		t.Error(got.err)
	}
	if text, _ := os.ReadFile(file); !strings.Contains(string(text), "kind: VirtualMachine") {
		t.Errorf("with --force it is %s", text)
	}
	other := strings.Replace(web, "kvm", "qemu", 1)
	want = file + "\n" + filepath.Join(dir, "web-1-2.yaml") + "\n"
	if twice := run(t, web+other, "-f", "-", "-d", dir); twice.err != nil || twice.out != want {
		t.Errorf("two of one name: %v, %s", twice.err, twice.out)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "web-1-2.yaml")); !strings.Contains(string(text), "type: qemu") {
		t.Errorf("the second of the name is %s", text)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// The test driver's own host stands for one of many.
func TestALibvirtIsRead(t *testing.T) {
	got := run(t, "", "--connect", "test:///default", "--kind=domain,network,pool")
	for _, want := range []string{"kind: VirtualMachine\n", "kind: VirtualNetwork\n", "kind: StoragePool\n", "name: default-pool\n"} {
		if got.err != nil || !strings.Contains(got.out, want) {
			t.Errorf("%v, %s lacks %s", got.err, got.out, want)
		}
	}
	if got := run(t, "", "--connect", "test:///default", "none"); got.code != failure.Missing || !strings.Contains(got.err.Error(), "virsh -c test:///default list --all") {
		t.Errorf("%v (code %d)", got.err, got.code)
	}
	if got := run(t, "", "--connect", "qemu+unix:///system?socket=/nonexistent"); got.err == nil || !strings.Contains(got.err.Error(), "try `virsh -c 'qemu+unix:///system?socket=/nonexistent' list --all`") {
		t.Errorf("%v", got.err)
	}
}
