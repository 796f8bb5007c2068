package document_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

func TestWhatCannotBeWrittenIsNamed(t *testing.T) {
	tests := map[string]struct {
		kind        xmldoc.Kind
		value, want string
	}{
		"an unknown key": {xmldoc.KindNetwork, `{"nam": "a"}`, `spec.nam: Invalid value: unknown key: did you mean "name"?`},
		"an unknown kind": {"secret", `{}`,
			`spec: Unsupported value: "secret": supported values: "domain", "network", "domainsnapshot", "volume", "pool"`},
		"metadata that ends itself": {xmldoc.KindDomain, `{"metadata": {"xml": "</metadata><title>x</title><metadata>"}}`,
			`spec.metadata.xml: Invalid value: has no place in libvirt's XML here`},
		"metadata that ends the domain": {xmldoc.KindDomain, `{"metadata": {"xml": "</metadata></domain><domain><metadata>"}}`,
			`spec: Invalid value: cannot be written as libvirt XML: line 1:39: domain: has a second document behind its end`},
		"metadata that is no XML": {xmldoc.KindDomain, `{"metadata": {"xml": "a < b"}}`, `spec: Invalid value: cannot be written as libvirt XML: `},
		"metadata with an entity": {xmldoc.KindDomain, `{"metadata": {"xml": "<!DOCTYPE a [<!ENTITY b 'c'>]>"}}`, `spec: Invalid value: cannot be written as libvirt XML: `},
		"a setting of another type of controller": {xmldoc.KindDomain, `{"devices": {"controllers": [{"type": "usb", "pci": {"model": {"name": "x"}}}]}}`,
			`spec.devices.controllers[0].pci: Invalid value: has no place in libvirt's XML here`},
		"a correction of nothing": {xmldoc.KindDomain, `{"name": "a", "other": [{}]}`,
			`spec.other: Invalid value: must hold only what no other key says, of the object itself, in the shortest way; the document would be read back with {}`},
		"a correction of an element that has an object": {xmldoc.KindDomain,
			`{"devices": {"disks": [{"source": {"file": {"file": "/a"}}, "target": {"dev": "a"}, "other": [{"at": "target", "attributes": {"b": "c"}}]}]}}`,
			`spec.devices.disks[0].other: Invalid value: must hold only what no other key says, of the object itself, in the shortest way; ` +
				`the document would be read back with {"devices.disks[0].target":[{"attributes":{"b":"c"}}]}`},
		"a correction that omits what is not there": {xmldoc.KindVolume, `{"name": "a", "other": [{"omit": ["@b"]}]}`,
			`spec.other[0].omit: Invalid value: there is no "@b" here`},
		"a correction that omits nothing": {xmldoc.KindVolume, `{"name": "a", "other": [{"omit": [""]}]}`,
			`spec.other[0].omit: Invalid value: there is no "" here`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text, errs := document.Write(test.kind, []byte(test.value), field.NewPath("spec"))
			if len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), test.want) {
				t.Errorf("got  %v %s\nwant %s", errs.ToAggregate(), text, test.want)
			}
		})
	}
}

func TestHowXMLIsWritten(t *testing.T) {
	const value = `{"name":"a","metadata":{"xml":"\n <a:b xmlns:a='urn:a'/>\n"},"devices":{"disks":[{"source":{"file":{"file":"it's"}},"target":{"dev":"vda"}}]},` +
		`"qemuCommandline":{"args":[{"value":"-x"}]}}`
	const want = `<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>a</name>
  <metadata>
    <a:b xmlns:a='urn:a'/>
  </metadata>
  <devices>
    <disk type='file'>
      <source file='it&apos;s'/>
      <target dev='vda'/>
    </disk>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-x'/>
  </qemu:commandline>
</domain>
`
	text, errs := document.Write(xmldoc.KindDomain, []byte(value), nil)
	if len(errs) > 0 || string(text) != want {
		t.Errorf("got %s %v", text, errs.ToAggregate())
	}
}
