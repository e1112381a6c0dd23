// Package text makes text that others wrote safe to show: what records, servers, hooks
// and configuration files hold must neither control a terminal, forge a line of a log
// or table, nor hide characters from the reader.
//
// Each function is for one kind of output: Escape for logs and error messages, Quote
// for one-line cells and names, Visible for the status page, Strip for a server's words
// inside an error. The package imports nothing of this project.
package text

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape escapes, in JSON's notation, what could control a terminal or mislead a
// reader: control characters that zap lets through (DEL, the 8-bit ones), direction
// marks, zero widths. It keeps line breaks and tabs; broken UTF-8 becomes U+FFFD. In a
// JSON string an escape means the character itself, so no reader of a log loses
// anything.
func Escape(s string) string {
	escaped := func(r rune) bool { return r != '\n' && r != '\t' && r != utf8.RuneError && hidden(r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, escaped) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !escaped(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// EscapeWriter applies [Escape] to each write; a character must not be split between
// writes.
type EscapeWriter struct{ io.Writer }

func (w EscapeWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, Escape(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Quote returns s itself if all of it can be seen, and otherwise a Go string literal of
// printable characters.
func Quote(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	return `"` + Visible(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)) + `"`
}

// Visible spells out, in Go's notation, each character that has no shape or changes
// the text direction, line breaks and broken UTF-8 included.
func Visible(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case hidden(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

// hidden reports whether r is invisible or misleading. Letters such as U+3164, the
// Hangul filler, count as printable and show nothing.
func hidden(r rune) bool {
	if r < utf8.RuneSelf {
		return !strconv.IsPrint(r)
	}
	return r == utf8.RuneError || r == '\u2800' || !unicode.IsPrint(r) ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Shorten cuts s to at most that many characters, and marks the cut.
func Shorten(s string, most int) string {
	if kept := Cut(s, most); kept != s {
		return kept + "…"
	}
	return s
}

// Cut cuts s to at most that many characters.
func Cut(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return s[:i]
		}
		n++
	}
	return s
}

// Strip drops what could control a terminal or forge a log line: whole escape
// sequences, control and format characters, broken UTF-8. Runs of space become one. The
// words of a web server stay readable this way where escapes would bury them.
func Strip(s string) string {
	var b strings.Builder
	var in sequence
	for _, r := range s {
		if in.swallows(r) {
			continue
		}
		switch {
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case !hidden(r):
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// sequence tracks terminal escape sequences (ECMA-48) through a text.
type sequence int

const (
	none    sequence = iota
	escape           // after ESC
	control          // CSI: up to a byte from @ to ~
	command          // OSC, DCS and similar: up to BEL or ST
)

func (q *sequence) swallows(r rune) bool {
	was := *q
	switch {
	case r == 0x1b:
		*q = escape
	case r == 0x9b:
		*q = control
	case r == 0x90 || r == 0x98 || r >= 0x9d && r <= 0x9f:
		*q = command
	case was == escape && r == '[':
		*q = control
	case was == escape && strings.ContainsRune("]PX^_", r):
		*q = command
	case was == escape, was == control && (r >= '@' && r <= '~' || r < ' '), was == command && (r == 0x07 || r == 0x9c):
		*q = none
	}
	return was != none || *q != none
}
