package mailutest

import "strings"

// validEmail is validators 0.28.1 email() for addresses in ASCII, without its quoted local parts: one @, a dotted atom
// of at most 64 characters, a domain of at least two labels that ends in a letter. A bare "localhost" is no domain.
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

func validDomain(domain string) bool {
	labels := strings.Split(domain, ".")
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
