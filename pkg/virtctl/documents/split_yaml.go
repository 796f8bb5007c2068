package documents

import (
	"bytes"
	"encoding/json"
)

// splitYAML parts the documents of a stream at its lines of ---. Those that hold
// nothing but comments are left out.
func splitYAML(text []byte) []chunk {
	var out []chunk
	var current []byte
	first, line := 1, 0
	end := func(next int) {
		if body := bytes.TrimRight(current, " \t\r\n"); !blank(body) && len(out) <= maxDocuments {
			out = append(out, chunk{line: first, text: body})
		}
		current, first = nil, next
	}
	for l := range bytes.Lines(text) {
		line++
		bare := bytes.TrimRight(l, " \t\r\n")
		if rest, marked := bytes.CutPrefix(bare, []byte("---")); marked && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t') {
			end(line)
			// What stands beside --- is of the document; the columns stay as they are.
			current = append(append(current, "   "...), l[3:]...)
			continue
		}
		if bytes.Equal(bare, []byte("...")) {
			end(line + 1)
			continue
		}
		current = append(current, l...)
	}
	end(line)
	return out
}

// blank says whether there is nothing but space and comments.
func blank(text []byte) bool {
	for l := range bytes.Lines(text) {
		if bare := bytes.TrimSpace(l); len(bare) > 0 && bare[0] != '#' {
			return false
		}
	}
	return true
}

// splitJSON parts documents that stand one after another. What follows a broken
// one is a part of it.
func splitJSON(text []byte) []chunk {
	var out []chunk
	for at := 0; at < len(text) && len(out) <= maxDocuments; {
		start := at + leadingSpace(text[at:])
		if start == len(text) {
			break
		}
		d := json.NewDecoder(bytes.NewReader(text[start:]))
		var raw json.RawMessage
		end := len(text)
		if err := d.Decode(&raw); err == nil {
			end = start + int(d.InputOffset())
		}
		out = append(out, chunk{line: 1 + bytes.Count(text[:start], []byte("\n")), text: text[start:end]})
		at = end
	}
	return out
}
