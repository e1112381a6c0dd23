package mailutest

import (
	"strings"

	"golang.org/x/net/idna"
)

// validEmail is validators 0.28.1 email() without its quoted local parts: one @, a dotted atom of at most 64 characters
// in ASCII, a domain of at least two labels that ends in a letter, in either form. A bare "localhost" is no domain.
func validEmail(email string) bool {
	if strings.Count(email, "@") != 1 {
		return false
	}
	local, domain, _ := strings.Cut(email, "@")
	if len(local) > 64 || len(domain) > 253 {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtom(r) }) {
			return false
		}
	}
	return validDomain(domain)
}

func validDomain(name string) bool {
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return false
	}
	labels := strings.Split(ascii, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(labels) > 1 && len(last) > 1 && isLetter(rune(last[len(last)-1]))
}

func isLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(label, func(r rune) bool { return !isLetter(r) && !isDigit(r) && r != '-' })
}

func isAtom(r rune) bool {
	return isLetter(r) || isDigit(r) || strings.ContainsRune("-!#$%&'*+/=?^_`{}|~", r)
}

func isLetter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func isDigit(r rune) bool {
	return r >= '0' && r <= '9'
}

// addressKey is the form in which addresses are stored and looked up: lower case, the domain as punycode (models.py
// IdnaEmail.process_bind_param).
func addressKey(email string) string {
	local, name, found := strings.Cut(email, "@")
	if !found {
		return strings.ToLower(email)
	}
	return strings.ToLower(local) + "@" + domainKey(name)
}

// domainKey is models.py IdnaDomain.process_bind_param.
func domainKey(name string) string {
	name = strings.ToLower(name)
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		return ascii
	}
	return name
}

// unicodeAddress is the form in which addresses are shown (models.py IdnaEmail.process_result_value).
func unicodeAddress(key string) string {
	local, name, _ := strings.Cut(key, "@")
	return local + "@" + unicodeDomain(name)
}

func unicodeDomain(key string) string {
	if shown, err := idna.Display.ToUnicode(key); err == nil {
		return shown
	}
	return key
}

func domainOf(email string) string {
	return domainKey(email[strings.LastIndex(email, "@")+1:])
}
