package libvirtdoc

import (
	"fmt"
	"path/filepath"
	"strings"
)

// fileNames are what the files of documents are called, without their endings; ""
// for one without a name. They depend on the documents and their order only. The
// first of a name has it for itself, and those behind it get a number that no other
// has: web, web-2, web-3.
func fileNames(texts []Written) []string {
	names := make([]string, len(texts))
	taken := map[string]bool{}
	var again []int
	for i := range texts {
		names[i] = fileName(&texts[i])
		if names[i] == "" {
			continue
		}
		if taken[names[i]] {
			again = append(again, i)
		}
		taken[names[i]] = true
	}
	for _, i := range again {
		name := names[i]
		for n := 2; taken[names[i]]; n++ {
			names[i] = fmt.Sprintf("%s-%d", name, n)
		}
		taken[names[i]] = true
	}
	return names
}

func fileName(w *Written) string {
	name := w.Name
	if name == "" {
		return ""
	}
	if w.Kind != "VirtualMachine" {
		name = strings.ToLower(w.Kind) + "-" + name
	}
	if w.Namespace != "" {
		name = w.Namespace + "." + name
	}
	return filepath.Base(name)
}
