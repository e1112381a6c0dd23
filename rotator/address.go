package rotator

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Address is a user's mail address in normalized form: lower case, the domain as
// punycode. Two spellings with one Address are one user in Mailu. It is only for
// comparisons: Mailu is sent the record's own spelling.
//
// Mailu folds the case of the whole address and stores the domain in the form of IDNA
// 2008 (models.py IdnaEmail); its API takes only ASCII before the @ (validators.email).
// If two spellings of a letter at the end of a word depend on the lower-casing function
// (Greek sigma) they count as equal: two tenants that may have one user are kept apart.
type Address string

// ParseAddress refuses what Mailu's API cannot store or address. Its errors show the
// address, unless it is long, with everything invisible escaped.
func ParseAddress(raw string) (Address, error) {
	address, err := parseAddress(raw)
	if err != nil {
		return "", fmt.Errorf("%.60q is not an e-mail address that Mailu can have: %w", raw, err)
	}
	return address, nil
}

func parseAddress(raw string) (Address, error) {
	local, domain, found := strings.Cut(raw, "@")
	switch {
	case !utf8.ValidString(raw):
		return "", errors.New("it is not UTF-8")
	case !found || local == "" || domain == "":
		return "", errors.New("it is not of the form user@domain")
	case strings.Contains(domain, "@"):
		return "", errors.New("it has more than one @")
	}
	for _, r := range raw {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return "", fmt.Errorf("it has a space or an invisible character (%U)", r)
		}
	}
	if err := checkLocalPart(local); err != nil {
		return "", err
	}
	ascii, err := asciiDomain(domain)
	if err != nil {
		return "", err
	}
	address := strings.ToLower(local) + "@" + ascii
	// The limit of a path in RFC 5321, which Mailu checks. Package idna checks a domain's.
	if max(len(raw), len(address)) > 254 {
		return "", errors.New("it is longer than 254 bytes")
	}
	return Address(address), nil
}

// checkLocalPart requires a dot-atom without characters that a proxy could read as a
// path, a query or an escape.
func checkLocalPart(local string) error {
	const atoms = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-!$&'*+=^_`{|}~."
	for _, r := range local {
		switch {
		case strings.ContainsRune("/%?#", r):
			return fmt.Errorf("%q before the @ does not fit into a path of the API", r)
		case !strings.ContainsRune(atoms, r):
			return fmt.Errorf("%+q (%U) before the @ is none of the characters that Mailu's API takes there", r, r)
		}
	}
	switch {
	case strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, ".."):
		return errors.New("a dot before the @ has no character beside it")
	case len(local) > 64: // RFC 5321, as Mailu checks
		return errors.New("it has more than 64 characters before the @")
	}
	return nil
}

// likeMailu lower-cases as Python does, where that differs from Go (U+0130); treats the
// dots of IDNA as dots, as Python's idna does; and treats both forms of the small sigma
// as one, between which Python's lower case chooses by the following letter.
var likeMailu = strings.NewReplacer("\u0130", "i\u0307", "\u3002", ".", "\uff0e", ".", "\uff61", ".", "\u03c2", "\u03c3")

// asciiDomain is the domain in the form of Mailu's database.
func asciiDomain(domain string) (string, error) {
	ascii, err := idna.Registration.ToASCII(strings.ToLower(likeMailu.Replace(domain)))
	shown := ""
	if err == nil {
		shown, err = idna.Registration.ToUnicode(ascii)
	}
	if err != nil {
		return "", fmt.Errorf("its domain %+.60q has no form in IDNA 2008: %w", domain, err)
	}
	for _, r := range shown {
		if !inDomains(r) {
			return "", fmt.Errorf("%+q (%U) has no place in a domain (IDNA 2008)", r, r)
		}
	}
	labels := strings.Split(ascii, ".")
	top := labels[len(labels)-1]
	switch {
	case top == "":
		return "", errors.New("its domain ends in a dot")
	case len(labels) == 1:
		return "", errors.New("its domain has no dot")
	case len(top) == 1 || top[len(top)-1] < 'a' || top[len(top)-1] > 'z':
		// validators.domain: two characters or more, the last one a letter. A top level
		// in punycode may also end in a digit, and is then refused by Mailu.
		return "", fmt.Errorf("its domain ends in .%s, which is no top level that Mailu takes", top)
	}
	// The two spellings that the replacer made equal may be in punycode as well.
	return idna.Registration.ToASCII(likeMailu.Replace(shown))
}

// inDomains is narrower than package idna, which allows symbols and emoji: RFC 5892 has
// letters, marks and digits, and some that are allowed by name.
func inDomains(r rune) bool {
	const byName = "-.\u00b7\u0375\u05f3\u05f4\u06fd\u06fe\u0f0b\u200c\u200d\u3007\u30fb"
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || strings.ContainsRune(byName, r)
}

// SameAddress reports whether two spellings are one user. An invalid one equals itself.
func SameAddress(a, b string) bool {
	first, malformed := ParseAddress(a)
	second, err := ParseAddress(b)
	return a == b || malformed == nil && err == nil && first == second
}
