package crypto

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// maxStored is the longest password, in characters, that Mailu's passlib accepts.
const maxStored = 4096

// CheckPassword returns why a password cannot be one of ours; nil if it can. A login
// form, a mail client or Mailu itself would alter or refuse such a password: an empty
// one, one that is not UTF-8, one with control or invisible characters (a newline that
// `echo` added, a byte order mark), one that begins or ends with a space, one that is
// longer than Mailu accepts. Such a password may be read and shown, but is never sent
// to Mailu. The error does not quote it.
func CheckPassword(password Secret) error {
	text := password.Reveal()
	switch {
	case len(text) == 0:
		return errors.New("the password is empty")
	case !utf8.Valid(text):
		return errors.New("the password is not UTF-8")
	case utf8.RuneCount(text) > maxStored:
		return fmt.Errorf("the password is longer than %d characters", maxStored)
	}
	first, _ := utf8.DecodeRune(text)
	last, _ := utf8.DecodeLastRune(text)
	switch {
	case last == '\n' || last == '\r':
		return errors.New("the password ends in a newline")
	case unicode.IsSpace(first) || unicode.IsSpace(last):
		return errors.New("the password begins or ends with a space")
	}
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		switch {
		case unicode.IsControl(r):
			return errors.New("the password has control characters in it")
		case !unicode.IsPrint(r):
			return errors.New("the password has invisible characters in it")
		}
	}
	return nil
}
