package xmldoc_test

import (
	"strings"
	"testing"

	"domus.dev/domus/pkg/convert/xmldoc"
)

var rules = xmldoc.Rules{
	Number: func(e *xmldoc.Element, attribute string) bool { return e.Local == "address" && attribute == "slot" },
	Amount: func(e *xmldoc.Element, attribute string) (string, bool) {
		return "KiB", e.Local == "memory" && attribute == "" || e.Local == "page" && attribute == "size"
	},
	Verbatim: func(e *xmldoc.Element) bool { return e.Local == "metadata" },
	Role: func(e *xmldoc.Element) string {
		mode, _ := e.Attribute("mode")
		return mode
	},
}

func TestWhatIsTheSameAndWhatIsNot(t *testing.T) {
	tests := map[string]struct{ first, second, want string }{
		"white space, comments, order of attributes, empty elements": {
			first:  "<d a='1' b=\"2\">\n  <!-- c --><x></x>\n<y>t</y></d>",
			second: "<?xml version='1.0'?><d b='2' a='1'><x/><y>t</y></d>",
		},
		"elements of different names may mix": {first: "<d><x/><y/><x a='1'/></d>", second: "<d><x/><x a='1'/><y/></d>"},
		"elements of one name may not":        {first: "<d><x/><x a='1'/></d>", second: "<d><x a='1'/><x/></d>", want: `d/x[1]/@a: "1" is added; d/x[2]/@a: "1" is lost`},
		"unless they have roles":              {first: "<d><x mode='a'/><x mode='b'/></d>", second: "<d><x mode='b'/><x mode='a'/></d>"},
		"prefixes of one namespace":           {first: "<d xmlns:q='u'><q:x q:a='1'/></d>", second: "<d><x xmlns='u' xmlns:p='u' p:a='1'/></d>"},
		"namespaces":                          {first: "<d xmlns:q='u'><q:x/></d>", second: "<d><x/></d>", want: `d/q:x: is lost; d/x: is added`},
		"notation of numbers":                 {first: "<d><address slot='0x0A'/></d>", second: "<d><address slot='10'/></d>"},
		"other numbers":                       {first: "<d><address slot='0x0A'/></d>", second: "<d><address slot='11'/></d>", want: `d/address/@slot: "0x0A" becomes "11"`},
		"what looks like a number":            {first: "<d><serial>000123</serial></d>", second: "<d><serial>123</serial></d>", want: `d/serial/text(): "000123" becomes "123"`},
		"no number at all":                    {first: "<d><address slot='x'/></d>", second: "<d><address slot='y'/></d>", want: `d/address/@slot: "x" becomes "y"`},
		"amounts":                             {first: "<d><memory unit='GiB'>1</memory></d>", second: "<d><memory>1048576</memory></d>"},
		"amounts in an attribute":             {first: "<d><page size='2' unit='M'/></d>", second: "<d><page size='2048'/></d>"},
		"powers of ten":                       {first: "<d><memory unit='GB'>1</memory></d>", second: "<d><memory unit='GiB'>1</memory></d>", want: `d/memory/text(): "1" becomes "1"`},
		"a unit on something else":            {first: "<d><x unit='GB'>1</x></d>", second: "<d><x>1</x></d>", want: `d/x/@unit: "GB" is lost`},
		"white space in text":                 {first: "<d><x> a</x></d>", second: "<d><x>a</x></d>", want: `d/x/text(): " a" becomes "a"`},
		"text beside elements":                {first: "<d>\n a\n<x/></d>", second: "<d><x/> a</d>"},
		"text beside elements that goes":      {first: "<d>a<x/></d>", second: "<d><x/></d>", want: `d/text(): "a" is lost`},
		"order in metadata":                   {first: "<d><metadata><x/><y/></metadata></d>", second: "<d><metadata><y/><x/></metadata></d>", want: `d/metadata/x: "x" becomes "y"; d/metadata/y: "y" becomes "x"`},
		"another root":                        {first: "<d/>", second: "<e/>", want: `d: "d" becomes "e"`},
		"an element less and one more":        {first: "<d><x/><x/></d>", second: "<d><x/><z/></d>", want: `d/x[2]: is lost; d/z: is added`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var docs [2]*xmldoc.Document
			for i, text := range []string{test.first, test.second} {
				var err error
				if docs[i], err = xmldoc.Parse("", []byte(text), xmldoc.Limits{}); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, d := range xmldoc.Compare(docs[0], docs[1], rules) {
				got = append(got, d.String())
			}
			if all := strings.Join(got, "; "); all != test.want {
				t.Errorf("got  %s\nwant %s", all, test.want)
			}
			if back := xmldoc.Same(docs[1], docs[0], rules); back != (test.want == "") {
				t.Errorf("the other way round they are the same: %v", back)
			}
		})
	}
}

func TestADifferenceHasTheLineOfTheFirstDocument(t *testing.T) {
	first, err := xmldoc.Parse("", []byte("<d>\n\n  <x a='1'/>\n</d>"), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := xmldoc.Parse("", []byte("<d><x/></d>"), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	all := xmldoc.Compare(first, second, rules)
	if len(all) != 1 || all[0].Line != 3 || all[0].Column != 3 || all[0].What != xmldoc.Missing {
		t.Errorf("got %+v", all)
	}
}

func TestFormatIsReadAsTheSameDocument(t *testing.T) {
	for name, text := range map[string]string{
		"escapes":           "<d a='&lt;&amp;&#10;&#9;&apos;\"'>&lt;&amp;&gt;\n x &#13;</d>",
		"namespaces":        "<d xmlns:q='u'><q:x q:a='1' xml:lang='de'><x xmlns='v'/></q:x></d>",
		"one prefix of two": "<d><a:x xmlns:a='u'/><a:x xmlns:a='v'/></d>",
		"a customary one":   "<d><x xmlns='urn:known'/><k:y xmlns:k='urn:other'/></d>",
		"metadata":          "<d><metadata>\n<!-- c --><a  b='1'/> t </metadata><y/></d>",
		"mixed":             "<d>text<x/>more</d>",
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := xmldoc.Parse("", []byte(text), xmldoc.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			out := doc.Format(rules, map[string]string{"urn:known": "k"})
			again, err := xmldoc.Parse("", out, xmldoc.Limits{})
			if err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			for _, d := range xmldoc.Compare(doc, again, rules) {
				t.Errorf("%s in\n%s", d, out)
			}
			if twice := again.Format(rules, map[string]string{"urn:known": "k"}); string(twice) != string(out) {
				t.Errorf("%s\nbecomes\n%s", out, twice)
			}
		})
	}
}
