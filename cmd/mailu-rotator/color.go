package main

import (
	"io"
	"os"

	"github.com/jedib0t/go-pretty/v6/text"
)

// palette colors words whose text already says the same; the zero palette leaves them
// unchanged.
type palette struct{ on bool }

// newPalette decides by when: "always", "never", or otherwise only for a terminal and
// without NO_COLOR. An explicit choice overrides the environment, as
// https://no-color.org requires.
func newPalette(when string, out io.Writer) palette {
	switch when {
	case "always":
		return palette{on: true}
	case "never":
		return palette{}
	}
	return palette{on: isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p palette) green(s string) string  { return p.paint(s, text.FgGreen) }
func (p palette) yellow(s string) string { return p.paint(s, text.FgYellow) }
func (p palette) red(s string) string    { return p.paint(s, text.FgRed) }
func (p palette) alarm(s string) string  { return p.paint(s, text.Bold, text.FgRed) }
func (p palette) dim(s string) string    { return p.paint(s, text.Faint) }
func (p palette) bold(s string) string   { return p.paint(s, text.Bold) }

func (p palette) paint(s string, with ...text.Color) string {
	if !p.on {
		return s
	}
	return text.Escape(s, text.Colors(with).EscapeSeq())
}
