package crypto

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// wrapped splits text into lines of 64 characters, as openssl writes it.
func wrapped(text string) string {
	var lines strings.Builder
	for len(text) > 64 {
		lines.WriteString(text[:64] + "\n")
		text = text[64:]
	}
	return lines.String() + text + "\n"
}

func TestTheFormOfASealedPasswordIsNamed(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb, 0xef, 0xff, 0x11, 0x22, 0x33, 0x44}, 10) // 70 bytes: with + and /, and padding
	std := base64.StdEncoding.EncodeToString(raw)
	least := make([]byte, ivSize+tagSize)
	tests := []struct{ name, sealed, want string }{
		{"an envelope", std, ""},
		{"the envelope of an empty password", base64.StdEncoding.EncodeToString(least), ""},
		{"nothing", "", "it is empty"},
		{"base64url", base64.URLEncoding.EncodeToString(raw), "it is base64url"},
		{"base64url without padding", base64.RawURLEncoding.EncodeToString(raw), "it is base64url"},
		{"no padding", base64.RawStdEncoding.EncodeToString(raw), "without its padding"},
		{"no padding, of the least length", base64.RawStdEncoding.EncodeToString(least), "without its padding"},
		{"half the padding", strings.TrimSuffix(std, "="), "another than the one canonical form"},
		{"more padding", std + "=", "another than the one canonical form"},
		{"spare bits", strings.TrimRight(base64.StdEncoding.EncodeToString(make([]byte, 70)), "=")[:93] + "B==", "another than the one canonical form"},
		{"wrapped by openssl", wrapped(std), "line breaks or spaces"},
		{"wrapped for MIME", strings.ReplaceAll(wrapped(std), "\n", "\r\n"), "line breaks or spaces"},
		{"base64url, wrapped", wrapped(base64.RawURLEncoding.EncodeToString(raw)), "line breaks or spaces"},
		{"a line break at the end", std + "\n", "line breaks or spaces"},
		{"a space before", " " + std, "line breaks or spaces"},
		{"a no-break space behind", std + "\u00a0", "line breaks or spaces"},
		{"hex", hex.EncodeToString(raw), "it is hexadecimal"},
		{"hex in capitals", strings.ToUpper(hex.EncodeToString(raw)), "it is hexadecimal"},
		{"hex of a length that base64 can have", hex.EncodeToString(make([]byte, 64)), "it is hexadecimal"},
		{"hex of the least length", hex.EncodeToString(least), "it is hexadecimal"},
		{"encoded twice", base64.StdEncoding.EncodeToString([]byte(std)), "base64 of base64"},
		{"encoded twice, with an end of line inside", base64.StdEncoding.EncodeToString([]byte(std + "\n")), "base64 of base64"},
		{"encoded twice, base64url inside", base64.StdEncoding.EncodeToString([]byte(base64.RawURLEncoding.EncodeToString(raw))), "base64 of base64"},
		{"a byte too short", base64.StdEncoding.EncodeToString(least[1:]), "too short: 31 bytes, where IV and tag take 32"},
		{"a short text", "c2VhbGVk", "too short: 6 bytes"},
		{"a word that is base64", "password", "too short: 6 bytes"},
		{"a word of hexadecimal digits", "deadbeef", "too short: 6 bytes"},
		{"Vault's Transit", "vault:v1:" + std, "Vault's Transit engine"},
		{"a password", "k7#Qw9_vX2mTz4+LrB8nYc6!pJ3sHd5f", "it is not base64"},
		{"a password of letters", "correcthorsebatterystaple", "it is not base64"},
		{"a password of letters that base64 can have", "correcthorsebatterystaples", "it is not base64"},
		{"a password of words", "correct horse battery staple", "it is not base64"},
		{"quoted", `"` + std + `"`, "it is not base64"},
		{"a byte order mark", "\ufeff" + std, "it is not base64"},
		{"NUL at the end", std + "\x00", "it is not base64"},
		{"no UTF-8", "\xff\xfe", "it is not base64"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := SealedPassword(test.sealed).CheckForm()

			if test.want == "" {
				mustSucceed(t, err)
				return
			}
			if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestWhatIsSealedIsWellFormed(t *testing.T) {
	for _, password := range []string{"", "x", strings.Repeat("x", 300)} {
		mustSucceed(t, SealedPassword(sealedHere(t, testRing(t), password)).CheckForm())
	}
}

func TestAMalformedSealedPasswordCostsNoDerivation(t *testing.T) {
	ring := testRing(t)

	_, err := ring.Open(0, here, "c2VhbGVk")

	if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "too short") || ring.Derivations() != 0 {
		t.Errorf("got %v after %d derivations", err, ring.Derivations())
	}
}

// FuzzCheckForm: the error for any text contains nothing of it, and a well-formed text
// decodes and encodes to itself.
func FuzzCheckForm(f *testing.F) {
	f.Add("c2VhbGVk")
	f.Add("vault:v1:xyz")
	f.Add(strings.Repeat("-_", 40))
	f.Add(strings.Repeat("ab", 40))
	f.Add(strings.Repeat("AAAA", 16) + "\n")
	f.Add(strings.Repeat("A", 43) + "=")
	f.Fuzz(func(t *testing.T, s string) {
		err := SealedPassword(s).CheckForm()

		if err == nil {
			raw, err := base64.StdEncoding.DecodeString(s)
			if err != nil || base64.StdEncoding.EncodeToString(raw) != s || len(raw) < ivSize+tagSize {
				t.Errorf("%q is well-formed", s)
			}
			return
		}
		if !errors.Is(err, ErrSealed) || len(s) > 40 && strings.Contains(err.Error(), s) || len(err.Error()) > 150 {
			t.Errorf("%q: %v", s, err)
		}
	})
}
