package convert_test

import (
	"errors"
	"strings"
	"testing"

	"domus.dev/domus/pkg/convert"
)

func TestWhatLibvirtxmlDoesNotKnowReachesTheDomain(t *testing.T) {
	vm := machine(t, `
devices:
  disks:
  - {device: disk, source: {file: {file: /x}}, target: {dev: vda}}
  - device: disk
    source: {file: {file: /y}}
    target: {dev: vdb, other: [{elements: ["<later what='1'/>"]}]}
    other: [{attributes: {colour: red}}]
`)
	domain, err := convert.Domain(input(vm))
	if err != nil {
		t.Fatal(err)
	}
	text, err := convert.XML(vm, domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<disk type='file' device='disk' colour='red'>\n      <source file='/y'/>",
		"<target dev='vdb'>\n        <later what='1'/>\n      </target>",
		"<name>demo:web</name>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s\nwant in it %s", text, want)
		}
	}
}

func TestACorrectionDoesNotTouchWhatOthersDecide(t *testing.T) {
	for name, domain := range map[string]string{
		"another name":           `{other: [{at: name, text: evil}]}`,
		"a second name":          `{other: [{elements: ["<name>evil</name>"]}]}`,
		"another UUID":           `{other: [{elements: ["<uuid>00000000-0000-4000-8000-000000000001</uuid>"]}]}`,
		"no marks":               `{other: [{omit: [metadata]}]}`,
		"marks of its own":       `{other: [{elements: ["<metadata><a/></metadata>"]}]}`,
		"more memory":            `{other: [{at: memory, text: "999999999"}]}`,
		"another unit of memory": `{other: [{at: memory, attributes: {unit: TiB}}]}`,
		"more CPUs":              `{other: [{at: vcpu, text: "64"}]}`,
		"where it lies":          `{other: [{elements: ["<numatune><memory mode='strict' nodeset='1'/></numatune>"]}]}`,
		"a host's device":        `{devices: {other: [{elements: ["<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/></source></hostdev>"]}]}}`,
		"an end of the domain":   `{other: [{elements: ["<a/></domain><domain>"]}]}`,
		"an element in a name":   `{other: [{attributes: {"a='1'><b/><c d": x}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			vm := machine(t, domain)
			made, err := convert.Domain(input(vm))
			if err != nil {
				t.Fatal(err)
			}
			text, err := convert.XML(vm, made)
			if invalid := (*convert.InvalidError)(nil); !errors.As(err, &invalid) {
				t.Errorf("got %v and %s", err, text)
			}
		})
	}
}
