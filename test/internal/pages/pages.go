// Package pages reads the project's Markdown as its tests see it: headings, links, and
// blocks of code with what is decided about them.
//
// A page decides once, in a comment above its first block of commands:
//
//	<!-- commands: run -->
//	<!-- commands: not run: WHY -->
//
// and otherwise for a block, in the comment before it:
//
//	<!-- run -->   <!-- run: fails -->   <!-- not run: WHY -->
//
// "run: fails" is for a block whose last command is meant to fail. The commands of a
// page that decides nothing are only read (see package docs).
package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Decision says what the tests do with commands.
type Decision string

// Decisions. Undecided is that of pages that say nothing.
const (
	Undecided Decision = ""
	Run       Decision = "run"
	RunFails  Decision = "run: fails"
	NotRun    Decision = "not run"
)

// Page is a Markdown file.
type Page struct {
	// Path is from the project's root, with slashes.
	Path string
	// Anchors are those of headings, as GitHub makes them.
	Anchors map[string]bool
	Links   []Link
	Blocks  []Block
	// Commands is the decision for all blocks that have none of their own.
	Commands Decision
	// Text is the whole file.
	Text string
}

// Link is a link or an image.
type Link struct {
	Line        int
	Destination string
}

// Block is a block of code, or what a comment has run that readers need not see.
type Block struct {
	// Line is that of the block's first line of content, counted from 1.
	Line int
	// Language is the word behind the fence: sh, console, yaml.
	Language string
	// Lines are without the line's end.
	Lines []string
	// Setup says that it is a comment's: <!-- setup, commands, -->.
	Setup bool
	// Decision is about commands, the page's or the block's own.
	Decision Decision
	// Comment is the comment straight before the block, if there is one.
	Comment string
	// Follows says that nothing but that comment lies between it and the block before.
	Follows bool
}

// Commands says whether the block has commands: sh, or a transcript in which those
// stand behind "$ ".
func (b *Block) Commands() bool { return b.Language == "sh" || b.Transcript() }

// Transcript says whether the block shows commands with what they print.
func (b *Block) Transcript() bool {
	return (b.Language == "console" || b.Language == "") && len(b.Lines) > 0 && strings.HasPrefix(b.Lines[0], "$ ")
}

// Content is the block's text.
func (b *Block) Content() string { return strings.Join(b.Lines, "\n") + "\n" }

// Read reads every page of the project in root: README.md and what is in docs, pkg
// and test.
func Read(root string) ([]*Page, error) {
	var all []*Page
	for _, top := range []string{"README.md", "docs", "pkg", "test"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(name string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(name) != ".md" {
				return err
			}
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			page, err := Parse(filepath.ToSlash(relative), content)
			all = append(all, page)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading the pages: %w", err)
		}
	}
	return all, nil
}

// Parse reads one page.
func Parse(path string, source []byte) (*Page, error) {
	page := &Page{Path: path, Anchors: map[string]bool{}, Text: string(source)}
	document := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	lineOf := func(offset int) int { return 1 + strings.Count(string(source[:offset]), "\n") }
	err := ast.Walk(document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := node.(type) {
		case *ast.Heading:
			page.addAnchor(plainText(n, source))
		case *ast.Link:
			page.Links = append(page.Links, Link{Line: lineOf(position(n)), Destination: string(n.Destination)})
		case *ast.Image:
			page.Links = append(page.Links, Link{Line: lineOf(position(n)), Destination: string(n.Destination)})
		case *ast.HTMLBlock:
			if err := page.addComment(linesOf(n, source), lineOf(position(n))); err != nil {
				return ast.WalkStop, err
			}
		case *ast.FencedCodeBlock:
			block := Block{Language: string(n.Language(source)), Lines: linesOf(n, source)}
			if n.Lines().Len() > 0 {
				block.Line = lineOf(n.Lines().At(0).Start)
			}
			previous := n.PreviousSibling()
			if comment, is := previous.(*ast.HTMLBlock); is {
				block.Comment = commentText(linesOf(comment, source))
				previous = comment.PreviousSibling()
			}
			_, block.Follows = previous.(*ast.FencedCodeBlock)
			page.Blocks = append(page.Blocks, block)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return page, err
	}
	return page, page.decide()
}

// addComment notes what a comment decides about the page, or has run.
func (p *Page) addComment(lines []string, line int) error {
	comment := commentText(lines)
	if commands, is := strings.CutPrefix(comment, "setup\n"); is {
		p.Blocks = append(p.Blocks, Block{Line: line + 1, Language: "sh", Lines: strings.Split(commands, "\n"), Setup: true, Decision: Run})
		return nil
	}
	word, is := strings.CutPrefix(comment, "commands: ")
	if !is {
		return nil
	}
	for i := range p.Blocks {
		if p.Blocks[i].Commands() {
			return fmt.Errorf("%s:%d: what is decided about all commands of the page stands behind some of them: put it above", p.Path, line)
		}
	}
	decision, err := decisionOf(word)
	if err != nil {
		return fmt.Errorf("%s:%d: commands: %w", p.Path, line, err)
	}
	p.Commands = decision
	return nil
}

// decide gives each block of commands its decision.
func (p *Page) decide() error {
	for i := range p.Blocks {
		b := &p.Blocks[i]
		if !b.Commands() || b.Setup {
			continue
		}
		b.Decision = p.Commands
		if strings.HasPrefix(b.Comment, "run") || strings.HasPrefix(b.Comment, "not run") {
			var err error
			if b.Decision, err = decisionOf(b.Comment); err != nil {
				return fmt.Errorf("%s:%d: %w", p.Path, b.Line, err)
			}
		}
	}
	return nil
}

func decisionOf(words string) (Decision, error) {
	if why, is := strings.CutPrefix(words, "not run:"); is && strings.TrimSpace(why) != "" {
		return NotRun, nil
	}
	switch d := Decision(words); d {
	case Run, RunFails:
		return d, nil
	}
	return Undecided, fmt.Errorf("%q decides nothing: write run, run: fails, or not run: and why", words)
}

// commentText is what stands in a comment; nothing for other HTML.
func commentText(lines []string) string {
	comment, is := strings.CutPrefix(strings.TrimSpace(strings.Join(lines, "\n")), "<!--")
	comment, closed := strings.CutSuffix(comment, "-->")
	if !is || !closed {
		return ""
	}
	return strings.TrimSpace(comment)
}

// addAnchor makes an anchor of a heading's text as GitHub does.
func (p *Page) addAnchor(heading string) {
	var out strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			out.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
			out.WriteRune(r)
		}
	}
	anchor := out.String()
	for i := 1; p.Anchors[anchor]; i++ {
		anchor = fmt.Sprintf("%s-%d", out.String(), i)
	}
	p.Anchors[anchor] = true
}

func plainText(node ast.Node, source []byte) string {
	var out strings.Builder
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, is := n.(*ast.Text); is && entering {
			out.Write(t.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return out.String()
}

func linesOf(node ast.Node, source []byte) []string {
	var out []string
	lines := node.Lines()
	for i := range lines.Len() {
		segment := lines.At(i)
		out = append(out, strings.TrimRight(string(segment.Value(source)), "\n"))
	}
	if html, is := node.(*ast.HTMLBlock); is && html.HasClosure() {
		out = append(out, strings.TrimRight(string(html.ClosureLine.Value(source)), "\n"))
	}
	return out
}

// position is the offset at which a node's block begins: of the nearest one around it
// that has lines.
func position(node ast.Node) int {
	for n := node; n != nil; n = n.Parent() {
		if n.Type() == ast.TypeBlock && n.Lines() != nil && n.Lines().Len() > 0 {
			return n.Lines().At(0).Start
		}
	}
	return 0
}
