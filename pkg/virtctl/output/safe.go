package output

import (
	"strings"
	"unicode"
)

// Safe is text of a guest, or of anyone who is not the reader, in one line
// without what a terminal would take for a command.
func Safe(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.TrimSpace(text))
}
