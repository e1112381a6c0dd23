package crypto

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// CheckForm checks the form of a sealed password, without a key. After an error no key
// opens it. Nil means that some key may have sealed it: a wrong order of its parts or
// another length of the IV cannot be detected. The error contains nothing of the sealed
// password, which may be a password in the clear. It wraps [ErrSealed].
func (s SealedPassword) CheckForm() error {
	if problem := malformation(string(s)); problem != "" {
		return fmt.Errorf("%w: %s", ErrSealed, problem)
	}
	return nil
}

// malformation names the likely cause, if the text matches a known mistake of other
// implementations.
func malformation(s string) string {
	raw, err := decode(s)
	switch {
	case s == "":
		return "it is empty"
	case isHex(s): // can be base64 too
		return "it is hexadecimal, not base64"
	case err == nil && len(raw) < ivSize+tagSize:
		return fmt.Sprintf("it is too short: %d bytes, where IV and tag take %d", len(raw), ivSize+tagSize)
	case err == nil && isEncoded(string(raw)):
		return "it is base64 of base64: it was encoded twice"
	case err == nil:
		return ""
	}
	return misencoding(s)
}

// misencoding says how s differs from the envelope's base64.
func misencoding(s string) string {
	joined := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	switch {
	case joined != s && isEncoded(joined):
		return "it has line breaks or spaces: it must be one line of base64, without an end of line"
	case strings.HasPrefix(s, "vault:v"):
		return "it is a ciphertext of Vault's Transit engine, not an envelope"
	case !isEncoded(s):
		return "it is not base64"
	case strings.ContainsAny(s, "-_"):
		return `it is base64url ("-" and "_"), not standard base64 ("+" and "/")`
	case len(s)%4 != 0 && !strings.Contains(s, "="):
		return "it is base64 without its padding (=)"
	}
	return "it is base64 in another than the one canonical form"
}

// isEncoded reports whether s is base64 of any kind, with any padding and line breaks,
// and long enough for an envelope.
func isEncoded(s string) bool {
	body := strings.TrimRight(s, "=\r\n")
	if strings.ContainsAny(body, "-_") {
		body = strings.NewReplacer("-", "+", "_", "/").Replace(body)
	}
	raw, err := base64.RawStdEncoding.DecodeString(body)
	return err == nil && len(raw) >= ivSize+tagSize
}

// isHex requires the length of an envelope, which random base64 practically never
// matches.
func isHex(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) >= ivSize+tagSize
}

var errNotBase64 = errors.New("not base64 as the envelope has it")

// decode reads standard base64, padded, on one line and in its one canonical form: no
// two strings decode to the same bytes.
func decode(s string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errNotBase64 // Go's error would reveal a position, and so what kind of character is there
	}
	// Go's decoder skips line breaks; the format forbids them.
	if base64.StdEncoding.EncodedLen(len(raw)) != len(s) {
		return nil, errNotBase64
	}
	return raw, nil
}
