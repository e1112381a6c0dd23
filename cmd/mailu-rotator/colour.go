package main

import (
	"io"
	"os"
)

// palette colours text for a terminal; the zero palette leaves it as it is.
type palette struct{ on bool }

// newPalette colours only what goes to a terminal, and not where NO_COLOR
// (https://no-color.org) is set.
func newPalette(out io.Writer) palette {
	return palette{on: isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p palette) green(s string) string  { return p.paint("32", s) }
func (p palette) yellow(s string) string { return p.paint("33", s) }
func (p palette) red(s string) string    { return p.paint("31", s) }
func (p palette) dim(s string) string    { return p.paint("2", s) }
func (p palette) bold(s string) string   { return p.paint("1", s) }

// paint uses the sequences of ECMA-48, section 8.3.117.
func (p palette) paint(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
