package xmldoc

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// UTF16 is the encoding of XML in UTF-16, as iconv calls it, by its byte order mark
// or, where it has none, by its first <; empty for other text.
func UTF16(text []byte) string {
	for _, begins := range []struct{ with, encoding string }{
		{"\xff\xfe", "UTF-16"}, {"\xfe\xff", "UTF-16"}, {"<\x00", "UTF-16LE"}, {"\x00<", "UTF-16BE"},
	} {
		if bytes.HasPrefix(text, []byte(begins.with)) {
			return begins.encoding
		}
	}
	return ""
}

// isUTF8 says whether text in an encoding is UTF-8 as it is.
func isUTF8(encoding string) bool {
	switch strings.ToLower(encoding) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// declaredIn is the encoding that the XML declaration of a text names, if any.
func declaredIn(text []byte) string {
	instruction, is := bytes.CutPrefix(text, []byte("<?xml "))
	end := bytes.Index(instruction, []byte("?>"))
	if !is || end < 0 {
		return ""
	}
	return declared(string(instruction[:end]), "encoding")
}

func declaredProblem(encoding string) string {
	return fmt.Sprintf("is declared to be in encoding %q, and only UTF-8 is read", clip(encoding))
}

// encodingName is what may be the name of an encoding (XML 1.0, 4.3.3).
var encodingName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,40}$`)

func declaredRemedy(encoding string) string {
	if !encodingName.MatchString(encoding) {
		return "convert it to UTF-8 with iconv, and change the declaration"
	}
	return "convert it to UTF-8 with iconv -f " + encoding + " -t UTF-8, and change the declaration"
}
