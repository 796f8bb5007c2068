package documents_test

import (
	"testing"

	"domus.dev/domus/pkg/virtctl/documents"
)

func TestADocumentInAnotherEncodingIsOneDocument(t *testing.T) {
	for name, text := range map[string]string{
		"Latin 1, as declared":      "<?xml version='1.0' encoding='ISO-8859-1'?>\n<domain type='kvm'>\n<title>caf\xe9</title>\n</domain>\n",
		"UTF-16 with a mark":        "\xff\xfe<\x00d\x00/\x00>\x00\n\x00",
		"UTF-16 without":            "<\x00d\x00/\x00>\x00\n\x00",
		"UTF-16 without, other way": "\x00<\x00d\x00/\x00>\x00\n",
	} {
		all, err := documents.Parse("a.xml", []byte(text))
		if err != nil || len(all) != 1 || all[0].Format != documents.XML {
			t.Errorf("%s: %d documents, %v", name, len(all), err)
		}
	}
}
