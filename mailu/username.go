package mailu

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxUsername is the longest mail address of RFC 5321: 64 + 1 + 255.
const maxUsername = 320

// checkUsername makes sure that a username is one segment of a path, whoever
// decodes the path on the way: "/" comes out of %2F in front of Mailu's router,
// and "%" invites decoding twice. It returns what is wrong, or "".
func checkUsername(username string) string {
	local, domain, hasAt := strings.Cut(username, "@")
	switch {
	case !hasAt || local == "" || domain == "" || strings.Contains(domain, "@"):
		return "the username is not of the form user@domain"
	case len(username) > maxUsername:
		return "the username is longer than a mail address can be"
	case !utf8.ValidString(username) || strings.ContainsFunc(username, unfitForPath):
		return "the username has characters that do not fit into a path"
	default:
		return ""
	}
}

func unfitForPath(r rune) bool {
	return strings.ContainsRune(`/\%`, r) || unicode.IsSpace(r) || !unicode.IsPrint(r)
}
