package pages

import (
	"regexp"
	"strings"
)

// Step is commands that are run together, and what they are shown to print.
type Step struct {
	// Line is where the commands begin, OutputLine where their output does.
	Line, OutputLine int
	Commands         string
	// Output is nil where the page shows none.
	Output []string
	// NumbersDiffer says that numbers in the output are not compared.
	NumbersDiffer bool
	Decision      Decision
	Setup         bool
}

// Steps are a page's commands that are run, in order. What a block without a language
// shows, that follows one of commands, is what they print; so is one of json or yaml
// where a comment before it says "output". The comment "output: not compared: WHY"
// takes it out, "output: numbers may differ" has words alone compared.
func (p *Page) Steps() []Step {
	var out []Step
	for i := range p.Blocks {
		b := &p.Blocks[i]
		switch {
		case b.Transcript():
			if b.Decision == Run || b.Decision == RunFails {
				out = append(out, transcript(b)...)
			}
		case b.Commands() && (b.Decision == Run || b.Decision == RunFails):
			out = append(out, Step{Line: b.Line, Commands: b.Content(), Decision: b.Decision, Setup: b.Setup})
		case i > 0 && b.Follows && p.Blocks[i-1].Language == "sh" && len(out) > 0 && out[len(out)-1].Line == p.Blocks[i-1].Line:
			shown := b.Language == "" || strings.HasPrefix(b.Comment, "output")
			if shown && !strings.HasPrefix(b.Comment, "output: not compared: ") {
				step := &out[len(out)-1]
				step.Output, step.OutputLine = b.Lines, b.Line
				step.NumbersDiffer = b.Comment == "output: numbers may differ"
			}
		}
	}
	return out
}

// hereDocument is the beginning of one; its first group is the word that ends it.
var hereDocument = regexp.MustCompile(`<<-?\s*['"]?(\w+)`)

// transcript parts a block at its "$ ". A command goes on behind a backslash, and to
// the end of its here-document.
func transcript(b *Block) []Step {
	var out []Step
	differ := b.Comment == "output: numbers may differ"
	for i := 0; i < len(b.Lines); i++ {
		command, is := strings.CutPrefix(b.Lines[i], "$ ")
		if !is {
			step := &out[len(out)-1]
			if step.Output == nil {
				step.OutputLine = b.Line + i
			}
			step.Output = append(step.Output, b.Lines[i])
			continue
		}
		step := Step{Line: b.Line + i, Decision: b.Decision, NumbersDiffer: differ}
		if here := hereDocument.FindStringSubmatch(command); here != nil {
			for i++; i < len(b.Lines); i++ {
				command += "\n" + b.Lines[i]
				if b.Lines[i] == here[1] {
					break
				}
			}
		}
		for strings.HasSuffix(command, `\`) && i+1 < len(b.Lines) {
			i++
			command += "\n" + strings.TrimPrefix(b.Lines[i], "> ")
		}
		step.Commands = command + "\n"
		out = append(out, step)
	}
	return out
}
