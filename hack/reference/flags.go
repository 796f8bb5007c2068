package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// flagTable has a row for each flag that is shown in help, by name. Where defaults of
// elsewhere are given, the rows say which differ.
func flagTable(flags, elsewhere *pflag.FlagSet) string {
	var out strings.Builder
	out.WriteString("| flag | type | default | |\n|---|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" && f.ShorthandDeprecated == "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		usage := f.Usage
		if f.Name == "feature-gates" {
			// The list is as long as a page, and of Kubernetes' release.
			usage, _, _ = strings.Cut(usage, "\n")
			usage = strings.TrimSuffix(usage, " Options are:") + " --help lists them."
		}
		if f.Deprecated != "" {
			usage = "Deprecated: " + f.Deprecated + ". " + usage
		}
		if elsewhere != nil {
			if theirs := elsewhere.Lookup(f.Name); theirs.DefValue != f.DefValue {
				usage += " kube-scheduler's own default is " + theirs.DefValue + "."
			}
		}
		kind, _ := pflag.UnquoteUsage(f)
		if kind == "" {
			kind = f.Value.Type()
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", name, cell(kind), code(anyHome(f.DefValue)), cell(usage))
	})
	return out.String()
}

// anyHome is a default in which the home of whoever generates is everyone's.
func anyHome(value string) string {
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		return strings.Replace(value, home+"/", "$HOME/", 1)
	}
	return value
}

// cell is text as a table's cell.
func cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`).Replace(text)
}

// code is text as it is, in a table's cell; nothing for nothing.
func code(text string) string {
	if text == "" || text == "[]" {
		return ""
	}
	return "`" + strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", `\|`) + "`"
}

// prose is help text as Markdown: paragraphs stay, and what is indented is shown as
// it is.
func prose(text string) string {
	var out []string
	block := false
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if indented := strings.HasPrefix(line, "  "); indented != block && (indented || line != "") {
			block = indented
			out = append(out, "```")
		}
		if !block {
			line = strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(line)
		}
		out = append(out, line)
	}
	if block {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}
