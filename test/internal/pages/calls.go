package pages

import (
	"fmt"
	"path/filepath"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Calls are the programs that commands call, each with its words. What the shell
// would put in place of a word is the word "x". An error says where the commands are
// none of bash's.
func Calls(commands string) ([][]string, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(commands), "")
	if err != nil {
		return nil, fmt.Errorf("is not bash: %w", err)
	}
	var out [][]string
	syntax.Walk(file, func(node syntax.Node) bool {
		call, is := node.(*syntax.CallExpr)
		if !is || len(call.Args) == 0 {
			return true
		}
		words := make([]string, len(call.Args))
		for i, arg := range call.Args {
			words[i] = wordOf(arg)
		}
		if words[0] == "sudo" && len(words) > 1 {
			words = words[1:]
		}
		words[0] = filepath.Base(words[0])
		if words[0] == "kubectl" && len(words) > 1 && words[1] == "vm" {
			words = append([]string{"virtctl"}, words[2:]...)
		}
		out = append(out, words)
		return true
	})
	return out, nil
}

// wordOf is a word without its quotes.
func wordOf(word *syntax.Word) string {
	var out strings.Builder
	var add func(parts []syntax.WordPart)
	add = func(parts []syntax.WordPart) {
		for _, part := range parts {
			switch p := part.(type) {
			case *syntax.Lit:
				out.WriteString(p.Value)
			case *syntax.SglQuoted:
				out.WriteString(p.Value)
			case *syntax.DblQuoted:
				add(p.Parts)
			default:
				out.WriteByte('x')
			}
		}
	}
	add(word.Parts)
	return out.String()
}

// looking are verbs that may be done again without changing anything.
var looking = map[string][]string{
	"kubectl":   {"get", "describe", "apply", "wait", "auth"},
	"virtctl":   {"get", "describe", "explain", "fit", "wait", "top", "version"},
	"domus-dev": {"status", "audit"},
	"snapshot":  {"list"},
	"virsh":     {"list", "domstate", "dumpxml", "pool-dumpxml"},
	"cat":       {}, "tail": {}, "head": {}, "grep": {}, "jq": {}, "echo": {}, "sort": {}, "cut": {}, "sed": {},
}

// OnlyLook says that commands may be repeated until they print what is waited for.
func OnlyLook(commands string) bool {
	calls, err := Calls(commands)
	if err != nil || len(calls) == 0 {
		return false
	}
	for _, words := range calls {
		program := words[0]
		if program == "virtctl" && len(words) > 1 && words[1] == "snapshot" {
			words, program = words[1:], "snapshot"
		}
		verbs, known := looking[program]
		if !known {
			return false
		}
		if len(verbs) > 0 && !anyOf(verbs, words) {
			return false
		}
	}
	return true
}

func anyOf(verbs, words []string) bool {
	for _, word := range words[1:] {
		for _, verb := range verbs {
			if word == verb {
				return true
			}
		}
	}
	return false
}
