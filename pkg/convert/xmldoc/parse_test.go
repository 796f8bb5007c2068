package xmldoc_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"domus.dev/domus/pkg/convert/xmldoc"
)

func TestWhatIsNoDocumentIsRefusedWithItsPlaceAndARemedy(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"nothing":                   {"", `a.xml: is empty: give the XML of a libvirt object, such as virsh dumpxml NAME prints`},
		"white space":               {" \n ", `a.xml: is empty: `},
		"YAML":                      {"\nkind: Domain\n", `a.xml:1:1: is not XML: it begins with "kind: Domain": `},
		"JSON":                      {`{"a": "<b/>"}`, `a.xml:1:1: is not XML: it begins with "{\"a\": \"": `},
		"a web page":                {"<html><body></body></html>", `a.xml:1:1: is not libvirt: root element <html>: the root element must be <domain>, `},
		"another kind":              {"<secret/>", `a.xml:1:1: is a kind of libvirt document that is not read: root element <secret>: the root element must be `},
		"a state file":              {"<domstatus><domain/></domstatus>", `a.xml:1:1: is a kind of libvirt document that is not read: root element <domstatus>: this is libvirt's own state file: give what virsh dumpxml NAME prints`},
		"a namespace at the root":   {"<domain xmlns='urn:x'/>", `a.xml:1:1: is not libvirt: the root element <domain> is in the namespace "urn:x": `},
		"cut off in an element":     {"<domain>\n<name>a</name>\n <devices>\n  <disk>\n", `a.xml:4:9: domain/devices/disk: is truncated: <disk> of line 4 is not closed: get the whole document again`},
		"cut off in a tag":          {"<domain>\n<name>a</name>\n <dev", `a.xml:3:6: domain: is truncated: <domain> of line 1 is not closed: `},
		"cut off in the first tag":  {"<domain ty", `a.xml:1:11: is truncated: it ends before its first element is complete: `},
		"cut off in a comment":      {"<domain><!-- ", `a.xml:1:13: domain: is truncated: `},
		"a tag closed by another":   {"<domain>\n<devices>\n</domain>", `a.xml:3:1: domain/devices: is not well-formed XML: <devices> of line 2 is closed by </domain>: write </devices> before it`},
		"a second document":         {"<domain/>\n<domain/>", `a.xml:2:1: domain: has a second document behind its end: <domain>: give each document in a file of its own`},
		"text behind the end":       {"<domain/>\nmore", `a.xml:1:10: has text behind its end: "more": remove it`},
		"an end without a start":    {"</domain>", `a.xml:1:1: is not well-formed XML: </domain> closes nothing: remove it`},
		"a document type":           {"<!DOCTYPE html>\n<domain/>", `a.xml:1:1: has a document type declaration (<!DOCTYPE ...>), which is refused: `},
		"entities in entities":      {"<?xml version='1.0'?>\n<!DOCTYPE d [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>\n<domain><name>&b;</name></domain>", `a.xml:2:1: has a document type declaration (<!DOCTYPE ...>), which is refused: remove it and write out the entities that it declares; libvirt documents need none`},
		"a file by an entity":       {"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>", `a.xml:1:1: has a document type declaration`},
		"an entity of nobody":       {"<domain>\n<name>&nbsp;</name></domain>", `a.xml:2:13: domain/name: is not well-formed XML: invalid character entity &nbsp;: write the character itself, or &amp; for a plain &`},
		"a plain ampersand":         {"<domain>\n<title>a & b</title></domain>", `a.xml:2:11: domain/title: is not well-formed XML: invalid character entity & (no semicolon): write the character itself`},
		"Latin 1":                   {"<domain>\n<title>caf\xe9</title></domain>", `a.xml:2:11: is not UTF-8 text: byte 0xe9: convert it to UTF-8`},
		"UTF-16":                    {"\xff\xfe<\x00d\x00", `a.xml:1:1: is UTF-16 text: convert it to UTF-8`},
		"UTF-16 without a mark":     {"<\x00d\x00", `a.xml:1:1: is UTF-16 text: convert it to UTF-8, such as with iconv -f UTF-16LE -t UTF-8`},
		"UTF-16, the other way":     {"\x00<\x00d", `a.xml:1:1: is UTF-16 text: convert it to UTF-8, such as with iconv -f UTF-16BE -t UTF-8`},
		"Latin 1 as declared":       {"<?xml version='1.0' encoding='ISO-8859-1'?>\n<domain><title>caf\xe9</title></domain>", `a.xml:1:1: is declared to be in encoding "ISO-8859-1", and only UTF-8 is read: convert it to UTF-8 with iconv -f ISO-8859-1 -t UTF-8, and change the declaration`},
		"UTF-8 as declared, untrue": {"<?xml version='1.0' encoding='UTF-8'?>\n<domain><title>caf\xe9</title></domain>", `a.xml:2:19: is not UTF-8 text: byte 0xe9`},
		"Latin 1 by declaration":    {"<?xml version='1.0' encoding='ISO-8859-1'?><domain/>", `a.xml:1:1: is declared to be in encoding "ISO-8859-1", and only UTF-8 is read: `},
		"a zero byte":               {"<domain>\x00</domain>", `a.xml:1:10: domain: is not well-formed XML: illegal character code U+0000`},
		"white space before <?xml":  {"\n<?xml version='1.0'?><domain/>", `a.xml:2:1: has an XML declaration that is not at its very beginning: `},
		"a prefix of nobody":        {"<domain>\n<qemu:commandline/></domain>", `a.xml:2:1: domain/qemu:commandline: has the prefix "qemu", which is not declared: add xmlns:qemu='...' to the root element`},
		"an attribute given twice":  {"<domain type='a' type='b'/>", `a.xml:1:1: domain/@type: is there twice: leave one of them`},
		"an attribute unquoted":     {"<domain type=kvm/>", `a.xml:1:15: is not well-formed XML: unquoted or missing attribute value in element`},
		"too deep":                  {strings.Repeat("<domain>", 200), `a.xml:1:1025: is nested more than 128 elements deep: flatten it`},
		"too large":                 {"<domain>" + strings.Repeat(" ", 128<<10) + "</domain>", `a.xml: is too large: 131089 bytes, and at most 131072 are read: `},
		"a thousand wrong prefixes": {"<domain>" + strings.Repeat("<a:b/>", 1000) + "</domain>", "a.xml:1:9: domain/a:b: has the prefix"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			doc, err := xmldoc.Parse("a.xml", []byte(test.text), xmldoc.Limits{})
			if err == nil {
				_, err = doc.Kind()
			}
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got  %v\nwant %s", err, test.want)
			}
			if errs := (xmldoc.Errors)(nil); !errors.As(err, &errs) || len(errs) > 50 {
				t.Errorf("%T of %d errors", err, len(errs))
			}
		})
	}
}

func TestSeveralErrorsAreToldAtOnce(t *testing.T) {
	_, err := xmldoc.Parse("a.xml", []byte("<domain id='1' id='2'>\n<x:a/>\n<b c='1' c='2'/></domain>"), xmldoc.Limits{})
	want := `a.xml:1:1: domain/@id: is there twice: leave one of them
a.xml:2:1: domain/x:a: has the prefix "x", which is not declared: add xmlns:x='...' to the root element
a.xml:3:1: domain/b/@c: is there twice: leave one of them`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestHowADocumentIsRead(t *testing.T) {
	doc, err := xmldoc.Parse("", []byte("\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<!-- c -->\n"+
		"<domain type='a\n\tb' xmlns:q='urn:q'>\n  text<!-- in --> and <![CDATA[<more>]]>\n  <q:e q:a=\"1\" b='&#10;'/></domain>\n<!-- end -->\n"), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	root := doc.Root
	if v, _ := root.Attribute("type"); v != "a  b" {
		t.Errorf("a line break and a tab in an attribute are read as %q, not as spaces", v)
	}
	if got := strings.TrimSpace(root.Text); got != "text and <more>" {
		t.Errorf("text is %q", got)
	}
	e := root.Nth("e", 1)
	if e == nil || e.Space != "urn:q" || e.Line != 5 || e.Column != 3 || e.Attributes[0].Space != "urn:q" || e.Attributes[1].Value != "\n" {
		t.Errorf("got %+v", e)
	}
	if root.Line != 3 || root.Column != 1 {
		t.Errorf("the root is at %d:%d", root.Line, root.Column)
	}
}

func TestPathsCountOnlyAmongSeveral(t *testing.T) {
	doc, err := xmldoc.Parse("", []byte("<domain><a/><b/><a><c/></a></domain>"), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	doc.Root.All(func(e *xmldoc.Element) { got = append(got, e.Path()) })
	if all := strings.Join(got, " "); all != "domain domain/a[1] domain/b domain/a[2] domain/a[2]/c" {
		t.Error(all)
	}
}

// Each of these is within the limit of size and would take long, or much
// memory, if it were read naively.
func TestHostileDocumentsCostLittle(t *testing.T) {
	const size = 128<<10 - 1000
	fill := func(piece string) string { return strings.Repeat(piece, size/len(piece)) }
	attributes := func() string {
		var out strings.Builder
		for i := 0; out.Len() < size; i++ {
			out.WriteString(" a" + strings.Repeat("b", i%7) + strings.Repeat("c", i/7%50) + "='1'")
		}
		return out.String()
	}
	tests := map[string]string{
		"text in crumbs":    "<domain>" + fill("a<!---->") + "</domain>",
		"elements of one":   "<domain>" + fill("<a/>") + "</domain>",
		"many attributes":   "<domain" + attributes() + "/>",
		"many declarations": "<domain" + fill(" xmlns:aaa='u'") + "/>",
		"line breaks":       "<domain a='" + fill("\n") + "'/>",
		"unclosed":          fill("<a>"),
		"references":        "<domain>" + fill("&#65;") + "</domain>",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, _ = xmldoc.Parse("", []byte(text), xmldoc.Limits{})
			// Quadratic work on 128 KiB takes minutes; this takes milliseconds.
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
