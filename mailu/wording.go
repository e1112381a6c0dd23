package mailu

import (
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mailu-rotator/crypto"
)

// maxWords limits a server's words in an error, in characters.
const maxWords = 200

// wording sanitizes a server's words for an error: short, printable, and without the
// secrets of the call, which servers and proxies do echo.
type wording struct {
	user    string
	secrets []crypto.Secret
}

func (s *Server) wording(user string, password crypto.Secret) wording {
	return wording{user: user, secrets: []crypto.Secret{s.token, password}}
}

// clean returns text that is safe in an error.
func (w wording) clean(s string) string { return bounded(w.redacted(s)) }

// redacted redacts twice: before anything is dropped, to find a secret as the server
// wrote it, and after, since dropping can assemble one.
func (w wording) redacted(s string) string {
	spellings := w.spellings()
	return redact(printable(redact(s, spellings)), spellings)
}

// spellings lists each secret as itself and in the usual encodings, longest first, so
// that no part of a longer one remains.
func (w wording) spellings() []string {
	var all []string
	for _, secret := range w.secrets {
		plain := secret.RevealString()
		if plain == "" {
			continue
		}
		inJSON, _ := json.Marshal(plain) // a string always has a JSON form
		all = append(all, plain, printable(plain), url.QueryEscape(plain), url.PathEscape(plain),
			html.EscapeString(plain), unquoted(strconv.Quote(plain)), unquoted(string(inJSON)))
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

func unquoted(s string) string { return s[1 : len(s)-1] }

func redact(s string, spellings []string) string {
	for _, spelling := range spellings {
		s = strings.ReplaceAll(s, spelling, crypto.Redacted)
	}
	return s
}

// bounded cuts after [maxWords] characters and makes the rest printable.
func bounded(s string) string {
	s = printable(s)
	count := 0
	for i := range s {
		if count == maxWords {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// printable drops what could control a terminal or forge a log line: whole escape
// sequences, control and format characters, broken UTF-8. Runs of space become one.
func printable(s string) string {
	var b strings.Builder
	var in sequence
	for _, r := range s {
		if in.swallows(r) {
			continue
		}
		switch {
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case r != unicode.ReplacementChar && unicode.IsPrint(r):
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
	text             // OSC, DCS and similar: up to BEL or ST
)

func (q *sequence) swallows(r rune) bool {
	was := *q
	switch {
	case r == 0x1b:
		*q = escape
	case r == 0x9b:
		*q = control
	case r == 0x90 || r == 0x98 || r >= 0x9d && r <= 0x9f:
		*q = text
	case was == escape && r == '[':
		*q = control
	case was == escape && strings.ContainsRune("]PX^_", r):
		*q = text
	case was == escape, was == control && (r >= '@' && r <= '~' || r < ' '), was == text && (r == 0x07 || r == 0x9c):
		*q = none
	}
	return was != none || *q != none
}
