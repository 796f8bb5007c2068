package document_test

import (
	"strings"
	"testing"
	"time"

	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/xmldoc"
)

// Each of these is within the limit of size and would take long, or much
// memory, if it were handled naively.
func TestHostileDocumentsCostLittle(t *testing.T) {
	fill := func(before, piece, after string) string {
		return before + strings.Repeat(piece, (xmldoc.DefaultBytes-len(before)-len(after))/len(piece)) + after
	}
	for name, text := range map[string]string{
		"unknown elements":           fill("<domain>", "<a/>", "</domain>"),
		"unknown elements elsewhere": fill("<domain><devices><disk type='file'><source file='a'>", "<a/>", "</source></disk></devices></domain>"),
		"disks of no type":           fill("<domain><devices>", "<disk/>", "</devices></domain>"),
		"metadata that borrows much": fill("<domain xmlns:a='"+strings.Repeat("u", 60<<10)+"'><metadata>", "<a:b/>", "</metadata></domain>"),
		"sources of one device":      fill("<domain><devices><channel type='udp'>", "<source mode='bind' a='1'/>", "</channel></devices></domain>"),
		"unknown attributes":         fill("<domain><devices>", "<disk type='file' a='1'><source file='b'/></disk>", "</devices></domain>"),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			doc, err := document.Read("", []byte(text), xmldoc.Limits{})
			if err == nil {
				_, _ = document.Write(doc.Kind, doc.Value, nil)
			}
			took := time.Since(start)
			t.Logf("%v, %v", took, err)
			if took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}
