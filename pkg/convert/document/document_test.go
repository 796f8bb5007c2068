package document_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// readAgain reads a document, writes it and reads it again.
func readAgain(t *testing.T, text string) (value, written string) {
	t.Helper()
	doc, err := document.Read("test.xml", []byte(text), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out, errs := document.Write(doc.Kind, doc.Value, nil)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	again, err := document.Read("again.xml", out, xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range xmldoc.Compare(doc.XML, again.XML, document.Rules()) {
		t.Error(d)
	}
	if !bytes.Equal(doc.Value, again.Value) {
		t.Errorf("%s\nbecomes\n%s", doc.Value, again.Value)
	}
	return string(doc.Value), string(out)
}

func TestWhatLibvirtxmlDropsIsKeptInItsObject(t *testing.T) {
	tests := map[string]struct{ xml, want string }{
		"an unknown attribute": {
			xml:  `<domain type='kvm'><name>a</name><devices><disk type='file' device='disk' colour='red'><source file='/x'/><target dev='vda'/></disk></devices></domain>`,
			want: `{"device":"disk","source":{"file":{"file":"/x"}},"target":{"dev":"vda"},"other":[{"attributes":{"colour":"red"}}]}`,
		},
		"an unknown element": {
			xml:  `<domain type='kvm'><name>a</name><later what='1'><than>this</than></later></domain>`,
			want: `"other":[{"elements":["<later what='1'>\n  <than>this</than>\n</later>"]}]`,
		},
		"an empty text": {
			xml:  `<domain type='kvm'><name>a</name><title/></domain>`,
			want: `"other":[{"elements":["<title/>"]}]`,
		},
		"a type that was not said": {
			xml:  `<domain type='kvm'><name>a</name><devices><filesystem><source dir='/a'/><target dir='b'/></filesystem></devices></domain>`,
			want: `"other":[{"omit":["@type"]}]`,
		},
		"a unit that nobody knows": {
			xml:  `<volume><name>a</name><capacity unit='B' exactly='yes'>1</capacity></volume>`,
			want: `"capacity":{"unit":"B","value":1,"other":[{"attributes":{"exactly":"yes"}}]}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if value, _ := readAgain(t, test.xml); !strings.Contains(value, test.want) {
				t.Errorf("got %s\nwant in it %s", value, test.want)
			}
		})
	}
}

func TestWhatIsNotToBeGuessedStays(t *testing.T) {
	value, written := readAgain(t, `<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' xmlns:app='urn:app'>
  <name>a</name>
  <metadata><app:note  kind="x"> two  blanks <!-- kept --> </app:note></metadata>
  <devices>
    <disk type='file'><source file='/x'/><target dev='vda'/><serial>000123</serial></disk>
    <controller type='pci' index='0' model='pcie-root'/>
  </devices>
  <qemu:commandline><qemu:arg value='-foo'/><qemu:env name='A' value=''/></qemu:commandline>
</domain>`)
	for _, want := range []string{
		`"serial":"000123"`,
		`"metadata":{"xml":"<app:note xmlns:app='urn:app'  kind=\"x\"> two  blanks <!-- kept --> </app:note>"}`,
		`"qemuCommandline":{"args":[{"value":"-foo"}]`,
	} {
		if !strings.Contains(value, want) {
			t.Errorf("got %s\nwant in it %s", value, want)
		}
	}
	for _, want := range []string{"<qemu:arg value='-foo'/>", "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"} {
		if !strings.Contains(written, want) {
			t.Errorf("got %s\nwant in it %s", written, want)
		}
	}
}

func TestWhatLibvirtDoesNotTakeIsNamedWithItsLine(t *testing.T) {
	tests := map[string]struct{ xml, want string }{
		"a word for a number": {
			xml:  "<domain>\n<name>a</name>\n<memory unit='KiB'>much</memory>\n</domain>",
			want: `x.xml:3:1: domain/memory: is "much", which is not a number that libvirt takes here: write a whole number in decimal digits`,
		},
		"a number that is too large": {
			xml:  "<domain>\n<name>a</name>\n<memory unit='KiB'>99999999999999999999</memory>\n</domain>",
			want: `x.xml:3:1: domain/memory: is "99999999999999999999", which is too large a number: write a smaller one`,
		},
		"a word in one of many": {
			xml: "<domain>\n<devices>\n<controller type='usb' index='1'/>\n<controller type='usb' index='two'/>\n</devices></domain>",
			want: `x.xml:4:1: domain/devices/controller[2]/@index: is "two", which is not a number that libvirt takes here: ` +
				`write a whole number in decimal digits`,
		},
		"behind metadata that moves": {
			xml: "<domain xmlns:a='urn:a'>\n<metadata>\n\n<a:b/>\n</metadata>\n<devices>\n<controller type='usb' index='x'/></devices></domain>",
			want: `x.xml:7:1: domain/devices/controller/@index: is "x", which is not a number that libvirt takes here: ` +
				`write a whole number in decimal digits`,
		},
		"an interface without a type": {
			xml: "<domain>\n<devices>\n<interface><mac address='52:54:00:00:00:01'/></interface>\n</devices></domain>",
			want: `x.xml:3:1: domain/devices/interface: is not what libvirt takes here: Missing interface type attribute: ` +
				`see https://libvirt.org/format.html`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := document.Read("x.xml", []byte(test.xml), xmldoc.Limits{})
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if errs := (xmldoc.Errors)(nil); !errors.As(err, &errs) {
				t.Errorf("%T is not xmldoc.Errors", err)
			}
		})
	}
}
