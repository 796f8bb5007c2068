package xmldoc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits bound a document. Zero fields mean the defaults.
type Limits struct {
	// Bytes is the most that the text may have; 128 KiB by default.
	Bytes int
	// Depth is how deep elements may nest; 128 by default: a chain of backing
	// stores is one deeper for each image, and libvirt itself stops at 200.
	Depth int
}

// DefaultBytes and DefaultDepth are what zero Limits mean.
const (
	DefaultBytes = 128 << 10
	DefaultDepth = 128
)

func (l Limits) orDefault() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	if l.Depth <= 0 {
		l.Depth = DefaultDepth
	}
	return l
}

// Parse reads a document. file is what it is called by in errors, which are of
// type Errors. The text is not changed.
func Parse(file string, text []byte, limits Limits) (*Document, error) {
	limits = limits.orDefault()
	if errs := unreadable(file, text, limits); errs != nil {
		return nil, errs
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	p := newParser(file, text, limits)
	p.run()
	if len(p.errs) == 0 && p.broken {
		// Line breaks in attributes are spaces: read what it means.
		p = newParser(file, p.unbroken, limits)
		p.run()
	}
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return p.doc, nil
}

// unreadable says why a text is not even tried.
func unreadable(file string, text []byte, limits Limits) error {
	fail := func(line, column int, problem, remedy string) error {
		return Errors{{File: file, Line: line, Column: column, Problem: problem, Remedy: remedy}}
	}
	if len(text) > limits.Bytes {
		return fail(0, 0, fmt.Sprintf("is too large: %d bytes, and at most %d are read", len(text), limits.Bytes),
			"a libvirt document is rarely over 20 KiB; remove what is not needed")
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return fail(0, 0, "is empty", "give the XML of a libvirt object, such as virsh dumpxml NAME prints")
	}
	if encoding := UTF16(text); encoding != "" {
		return fail(1, 1, "is UTF-16 text", "convert it to UTF-8, such as with iconv -f "+encoding+" -t UTF-8")
	}
	if !utf8.Valid(text) {
		if encoding := declaredIn(text); encoding != "" && !isUTF8(encoding) {
			return fail(1, 1, declaredProblem(encoding), declaredRemedy(encoding))
		}
		at := 0
		for at < len(text) {
			r, size := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		line, column := position(text, at)
		return fail(line, column, fmt.Sprintf("is not UTF-8 text: byte 0x%02x", text[at]),
			"convert it to UTF-8, such as with iconv -f LATIN1 -t UTF-8")
	}
	return nil
}

// position is the line and column of an offset, from 1.
func position(text []byte, at int) (line, column int) {
	before := text[:min(at, len(text))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

type parser struct {
	file   string
	text   []byte
	limits Limits
	xml    *xml.Decoder

	doc        *Document
	root, open *Element
	depth      int
	lines      lineCounter
	errs       Errors
	// broken says that an attribute held a line break or a tab; unbroken is the
	// text with spaces for them.
	broken   bool
	unbroken []byte
}

func newParser(file string, text []byte, limits Limits) *parser {
	p := &parser{
		file: file, text: text, limits: limits, lines: lineCounter{text: text, line: 1},
		doc: &Document{File: file, Source: text},
	}
	p.xml = xml.NewDecoder(bytes.NewReader(text))
	// The declared encoding is judged by instruction: libvirt's own are UTF-8.
	p.xml.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	return p
}

// fail notes a problem at an offset of the text.
func (p *parser) fail(at int, element, problem, remedy string) {
	line, column := position(p.text, at)
	p.errs.add(&Error{File: p.file, Line: line, Column: column, Element: element, Problem: problem, Remedy: remedy})
}

// run reads to the end, or to the first error that nothing can be read after.
func (p *parser) run() {
	for p.step() {
	}
}

// one reads to the end of the first element, and says whether all is well.
func (p *parser) one() bool {
	for (p.root == nil || p.open != nil) && p.step() {
	}
	return p.root != nil && p.open == nil && len(p.errs) == 0 && !p.broken
}

// step reads one token, and says whether to go on.
func (p *parser) step() bool {
	start := int(p.xml.InputOffset())
	token, err := p.xml.RawToken()
	if err != nil {
		p.end(start, err)
		return false
	}
	end := int(p.xml.InputOffset())
	goOn := true
	switch t := token.(type) {
	case xml.StartElement:
		goOn = p.startElement(t, start, end)
	case xml.EndElement:
		goOn = p.endElement(t, start, end)
	case xml.CharData:
		goOn = p.charData(t, start)
	case xml.Directive:
		p.fail(start, p.openPath(), "has a document type declaration (<!"+word(t)+" ...>), which is refused",
			"remove it and write out the entities that it declares; libvirt documents need none")
		return false
	case xml.ProcInst:
		goOn = p.instruction(t, start)
	}
	return goOn && len(p.errs) < maxErrors
}

func word(d []byte) string {
	fields := strings.FieldsFunc(string(d), func(r rune) bool { return !unicode.IsLetter(r) })
	if len(fields) == 0 {
		return ""
	}
	return clip(fields[0])
}

// clip keeps hostile text from filling an error.
func clip(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}

func (p *parser) openPath() string {
	if p.open == nil {
		return ""
	}
	return p.open.Path()
}

// end judges why there are no more tokens.
func (p *parser) end(start int, err error) {
	if errors.Is(err, io.EOF) && p.open == nil && p.root != nil {
		return
	}
	syntax := &xml.SyntaxError{}
	unexpectedEnd := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &syntax) && syntax.Msg == "unexpected EOF"
	switch {
	case p.root == nil && p.notXML():
		p.fail(start, "", fmt.Sprintf("is not XML: it begins with %q", clip(firstLine(p.text))),
			"give the XML of a libvirt object, such as virsh dumpxml NAME prints")
	case unexpectedEnd && p.open != nil:
		p.fail(len(bytes.TrimRight(p.text, " \t\r\n")), p.openPath(),
			fmt.Sprintf("is truncated: <%s> of line %d is not closed", clip(p.open.Name), p.open.Line),
			"get the whole document again")
	case unexpectedEnd:
		p.fail(len(p.text), "", "is truncated: it ends before its first element is complete", "get the whole document again")
	default:
		problem := err.Error()
		if errors.As(err, &syntax) {
			problem = syntax.Msg
		}
		remedy := ""
		if strings.HasPrefix(problem, "invalid character entity") {
			remedy = "write the character itself, or &amp; for a plain &"
		}
		p.fail(int(p.xml.InputOffset()), p.openPath(), "is not well-formed XML: "+clip(problem), remedy)
	}
}

// notXML says whether the text does not even begin as XML does.
func (p *parser) notXML() bool {
	return !bytes.HasPrefix(bytes.TrimSpace(p.text), []byte("<"))
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return string(line)
}

// instruction looks at the XML declaration and skips all others.
func (p *parser) instruction(t xml.ProcInst, start int) bool {
	if t.Target != "xml" {
		return true
	}
	if start != 0 {
		p.fail(start, p.openPath(), "has an XML declaration that is not at its very beginning",
			"remove what is before <?xml, white space too")
		return true
	}
	encoding := declared(string(t.Inst), "encoding")
	if encoding == "" || isUTF8(encoding) {
		return true
	}
	p.fail(start, "", declaredProblem(encoding), declaredRemedy(encoding))
	return false
}

// declared is a value of the XML declaration, empty where it has none.
func declared(instruction, key string) string {
	_, rest, _ := strings.Cut(instruction, key+"=")
	if len(rest) < 2 {
		return ""
	}
	value, _, _ := strings.Cut(rest[1:], rest[:1])
	return value
}

func (p *parser) charData(t xml.CharData, start int) bool {
	if p.open != nil {
		p.open.text = append(p.open.text, t...)
		return true
	}
	if len(bytes.TrimSpace(t)) == 0 {
		return true
	}
	if p.root == nil {
		p.fail(start, "", fmt.Sprintf("is not XML: it begins with %q", clip(firstLine(t))),
			"give the XML of a libvirt object, such as virsh dumpxml NAME prints")
	} else {
		p.fail(start, "", fmt.Sprintf("has text behind its end: %q", clip(firstLine(t))), "remove it")
	}
	return false
}
