package crypto

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var here = Binding{TenantID: "550e8400-e29b-41d4-a716-446655440000", LastRotated: "2026-01-02T03:04:05Z"}

// A check costs two derivations, so the default number is small; -rapid.checks raises
// it.
func init() { _ = flag.Set("rapid.checks", "5") }

func TestWhatIsSealedOpensToTheSame(t *testing.T) {
	ring := testRing(t)
	rapid.Check(t, func(rt *rapid.T) {
		password := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "password")
		binding := Binding{TenantID: rapid.String().Draw(rt, "tenant"), LastRotated: rapid.String().Draw(rt, "time")}

		sealed, err := Seal(ring.Newest(), binding, NewSecret(bytes.Clone(password)))
		mustSucceed(t, err)
		opened, err := ring.Open(1, binding, sealed)

		mustSucceed(t, err)
		if !bytes.Equal(opened.Reveal(), password) {
			rt.Fatalf("%x opens to %x", password, opened.Reveal())
		}
	})
}

func TestSealingTwiceGivesTwoStrings(t *testing.T) {
	key := testRing(t).Newest()

	first, err := Seal(key, here, SecretFromString("password"))
	mustSucceed(t, err)
	second, err := Seal(key, here, SecretFromString("password"))
	mustSucceed(t, err)

	if first == second || first[:20] == second[:20] {
		t.Errorf("the IV is not random: %s, %s", first, second)
	}
}

func TestSpellingsThatDecodeToTheSameBytesAreRefused(t *testing.T) {
	ring := testRing(t)
	// From 33 bytes of ciphertext on there can be padding, whose spare bits could be
	// altered unnoticed.
	sealed := sealedHere(t, ring, "padded")
	if !strings.HasSuffix(sealed, "=") {
		t.Fatalf("%s has no padding to play with", sealed)
	}
	body := strings.TrimRight(sealed, "=")
	last := body[len(body)-1]
	tests := []struct{ name, spelling string }{
		{"a final line break", sealed + "\n"},
		{"a line break inside", sealed[:30] + "\r\n" + sealed[30:]},
		{"a leading space", " " + sealed},
		{"no padding", body},
		{"more padding", sealed + "="},
		{"spare bits set", body[:len(body)-1] + string(last+1) + sealed[len(body):]},
		{"the URL alphabet", strings.NewReplacer("+", "-", "/", "_").Replace(withSymbols(t, ring))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ring.Open(1, here, SealedPassword(test.spelling))

			if !errors.Is(err, ErrSealed) {
				t.Errorf("%q: got %v, want ErrSealed", test.spelling, err)
			}
		})
	}
}

func TestEveryByteOfASealedPasswordCounts(t *testing.T) {
	ring := testRing(t)
	raw, err := base64.StdEncoding.DecodeString(sealedHere(t, ring, "x"))
	mustSucceed(t, err)
	for _, at := range []int{0, ivSize - 1, ivSize, ivSize + tagSize - 1, ivSize + tagSize} {
		altered := bytes.Clone(raw)
		altered[at] ^= 1

		_, err := ring.Open(1, here, SealedPassword(base64.StdEncoding.EncodeToString(altered)))

		if !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d altered: got %v, want ErrSealed", at, err)
		}
	}
}

// FuzzOpen checks that Open never panics, and opens nothing but what Seal made.
func FuzzOpen(f *testing.F) {
	ring := testRing(f)
	stored, err := seal(ring.Newest(), here, SecretFromString("the only password"), make([]byte, ivSize)) // the same in every worker
	mustSucceed(f, err)
	sealed := string(stored)
	f.Add(sealed)
	f.Add("")
	f.Add("====")
	f.Add(sealed[:43] + "=")
	f.Add(sealed + "\n")
	f.Add(strings.Repeat("A", 44))
	f.Fuzz(func(t *testing.T, s string) {
		password, err := ring.Open(1, here, SealedPassword(s))

		switch {
		case s == sealed && (err != nil || password.RevealString() != "the only password"):
			t.Errorf("does not open: %v", err)
		case s != sealed && !errors.Is(err, ErrSealed):
			t.Errorf("%q opens (%v), and nobody sealed it", s, err)
		}
	})
}

// testRing has one version, all zeros.
func testRing(t testing.TB) *Keyring {
	t.Helper()
	return keyringOf(t, map[KeyVersion][]byte{1: make([]byte, KeySize)})
}

func sealedHere(t testing.TB, ring *Keyring, password string) string {
	t.Helper()
	sealed, err := Seal(ring.Newest(), here, SecretFromString(password))
	mustSucceed(t, err)
	return string(sealed)
}

// withSymbols is sealed with an IV that the two base64 alphabets encode differently.
func withSymbols(t testing.TB, ring *Keyring) string {
	t.Helper()
	sealed, err := seal(ring.Newest(), here, SecretFromString("x"), bytes.Repeat([]byte{0xff}, ivSize))
	mustSucceed(t, err)
	return string(sealed)
}
