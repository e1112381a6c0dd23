package mailu

import (
	"errors"
	"strings"
	"testing"

	"mailu-rotator/crypto"
)

const passlibOfPassword = "$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS"

// passlibVectors are the version 2 hashes of passlib 1.7.4's own tests
// (passlib/tests/test_handlers_bcrypt.py, known_correct_hashes).
func passlibVectors() map[string]string {
	long := strings.Repeat("abc123", 12) // 72 bytes, bcrypt's limit
	return map[string]string{
		"":           "$bcrypt-sha256$v=2,t=2b,r=5$E/e/2AOhqM5W/KJTFQzLce$WFPIZKtDDTriqWwlmRFfHiOTeheAZWe",
		"password":   passlibOfPassword,
		"táБℓə":      "$bcrypt-sha256$v=2,t=2b,r=5$.US1fQ4TQS.ZTz/uJ5Kyn.$pzzgp40k8reM1CuQb03PvE0IDPQSdV6",
		long:         "$bcrypt-sha256$v=2,t=2b,r=5$X1g1nh3g0v4h6970O68cxe$zu1cloESVFIOsUIo7fCEgkdHaI9SSue",
		long + "qwr": "$bcrypt-sha256$v=2,t=2b,r=5$X1g1nh3g0v4h6970O68cxe$CBF9csfEdW68xv3DwE6xSULXMtqEFP.",
		long + "xyz": "$bcrypt-sha256$v=2,t=2b,r=5$X1g1nh3g0v4h6970O68cxe$zC/1UDUG2ofEXB6Onr2vvyFzfhEOS3S",
	}
}

func TestHashesOfPasslibAreVerified(t *testing.T) {
	for password, hash := range passlibVectors() {
		held, err := holds(hash, crypto.SecretFromString(password))
		if err != nil || !held {
			t.Errorf("%q: held %v, %v", password, held, err)
		}
		held, err = holds(hash, crypto.SecretFromString(password+"x"))
		if err != nil || held {
			t.Errorf("%q with an x: held %v, %v", password, held, err)
		}
	}
}

func TestVariantsOfBcryptAreOneFunction(t *testing.T) {
	for _, variant := range []string{"2a", "2b", "2y"} {
		held, err := holds(strings.Replace(passlibOfPassword, "2b", variant, 1), crypto.SecretFromString("password"))
		if err != nil || !held {
			t.Errorf("%s: held %v, %v", variant, held, err)
		}
	}
}

func TestOnlyOneSpellingIsAHash(t *testing.T) {
	salt, digest := "5Hg1DKFqPE8C2aflZ5vVoe", "wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS"
	for _, hash := range []string{
		"$bcrypt-sha256$",
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt,
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt + digest,
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt + "$" + digest + "$",
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt + "$" + digest + "\n",
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt[1:] + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt + "$" + digest[1:],
		"$bcrypt-sha256$v=2,t=2b,r=5$!" + salt[1:] + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt[:10] + "!" + salt[11:] + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt[:21] + "f$" + digest, // padding bits set
		"$bcrypt-sha256$v=2,t=2b,r=5$" + salt + "$" + digest[:30] + "T",
		"$bcrypt-sha256$v=2,t=2b,r=05$" + salt + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=+5$" + salt + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=3$" + salt + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=16$" + salt + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=31$" + salt + "$" + digest,
		"$bcrypt-sha256$v=2,t=2x,r=5$" + salt + "$" + digest,
		"$bcrypt-sha256$v=1,t=2b,r=5$" + salt + "$" + digest,
		"$bcrypt-sha256$v=3,t=2b,r=5$" + salt + "$" + digest,
		"$bcrypt-sha256$t=2b,v=2,r=5$" + salt + "$" + digest,
		"$bcrypt-sha256$v=2,t=2b,r=5,x=1$" + salt + "$" + digest,
		"$bcrypt-sha256$2b,5$" + salt + "$12BjNE0p7axMg55.Y/mHsYiVuFBDQyu", // version 1
	} {
		if _, err := parseHash(hash); !errors.Is(err, errMalformedHash) {
			t.Errorf("%q: %v", hash, err)
		}
	}
}

func TestOtherSchemesAreNamedAndNothingElse(t *testing.T) {
	for hash, want := range map[string]string{
		"$pbkdf2-sha512$25000$abc$def":  "pbkdf2-sha512",
		"$2b$12$aLYFkieuqJyeynvptPTxpe": "2b",
		"$argon2id$v=19$m=65536":        "argon2id",
		"{PLAIN}secret":                 "PLAIN",
		"secret":                        "not recognised",
		"$secret":                       "not recognised",
		"$$secret":                      "not recognised",
		"$a very long or strange scheme, indeed$x": "not recognised",
		"$ümlaut$x": "not recognised",
		"":          "not recognised",
	} {
		_, err := parseHash(hash)
		var other *otherSchemeError
		if !errors.As(err, &other) || other.scheme != want {
			t.Errorf("%q: %v, want %q", hash, err, want)
		}
	}
}

// FuzzParseHash searches for accepted hashes that differ from passlib's form, or that
// would cost too much to check.
func FuzzParseHash(f *testing.F) {
	for _, hash := range passlibVectors() {
		f.Add(hash)
	}
	f.Add("$bcrypt-sha256$v=2,t=2b,r=31$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS")
	f.Add("$pbkdf2-sha512$25000$abc$def")
	f.Fuzz(func(t *testing.T, hash string) {
		h, err := parseHash(hash)
		if err != nil {
			if len(err.Error()) > 120 {
				t.Errorf("long error %q", err)
			}
			return
		}
		if h.rounds < 4 || h.rounds > 15 || len(h.salt) != 22 || len(h.digest) != 31 || len(hash) > 84 {
			t.Errorf("accepted %q as %+v", hash, h)
		}
		if h.rounds > 5 {
			return
		}
		if _, err := holds(hash, crypto.SecretFromString("password")); err != nil {
			t.Errorf("%q parses and does not compare: %v", hash, err)
		}
	})
}
