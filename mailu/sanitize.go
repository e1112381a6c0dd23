package mailu

import (
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/text"
)

// maxWords limits a server's words in an error, in characters.
const maxWords = 200

// sanitizer prepares a server's words for an error: short, printable, and without the
// secrets of the call, which servers and proxies do echo.
type sanitizer struct {
	user    string
	secrets []crypto.Secret
}

func (s *Server) sanitizer(user string, password crypto.Secret) sanitizer {
	return sanitizer{user: user, secrets: []crypto.Secret{s.config.Token, password}}
}

// clean returns text that is safe in an error.
func (s sanitizer) clean(words string) string { return bounded(s.redacted(words)) }

// redacted redacts twice: before anything is dropped, to find a secret as the server
// wrote it, and after, since dropping can assemble one.
func (s sanitizer) redacted(words string) string {
	spellings := s.spellings()
	return redact(text.Strip(redact(words, spellings)), spellings)
}

// spellings lists each secret as itself and in the usual encodings, longest first, so
// that no part of a longer one remains.
func (s sanitizer) spellings() []string {
	var all []string
	for _, secret := range s.secrets {
		plain := secret.RevealString()
		if plain == "" {
			continue
		}
		inJSON, _ := json.Marshal(plain) // a string always has a JSON form
		all = append(all, plain, text.Strip(plain), url.QueryEscape(plain), url.PathEscape(plain),
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

// bounded strips s and cuts it after [maxWords] characters.
func bounded(s string) string { return text.Shorten(text.Strip(s), maxWords) }
