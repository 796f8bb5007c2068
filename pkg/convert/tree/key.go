package tree

import (
	"strings"
	"unicode"
)

// Key is the key under which a Go field is written: its name in lowerCamelCase.
// A leading run of capitals is lowered up to the word that follows it (CPUTune
// is cpuTune, OnCrash is onCrash), a plural s belonging to the run (VCPUs is
// vcpus).
func Key(goName string) string {
	runes := []rune(goName)
	n := 0
	for n < len(runes) && unicode.IsUpper(runes[n]) {
		n++
	}
	rest := runes[n:]
	plural := len(rest) > 0 && rest[0] == 's' && (len(rest) == 1 || unicode.IsUpper(rest[1]))
	if n > 1 && len(rest) > 0 && unicode.IsLower(rest[0]) && !plural {
		n-- // the last capital begins the next word
	}
	return strings.ToLower(string(runes[:n])) + string(runes[n:])
}
