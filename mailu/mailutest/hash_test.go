package mailutest

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// The vectors of passlib 1.7.4: passlib/tests/test_handlers_bcrypt.py, bcrypt_sha256_test.known_correct_hashes, version 2.
func passlibVectors() []struct{ password, hash string } {
	const table = "t\u00e1\u0411\u2113\u0259" // UPASS_TABLE of passlib/tests/test_handlers.py
	repeated := strings.Repeat("abc123", 12)
	return []struct{ password, hash string }{
		{"", "$bcrypt-sha256$v=2,t=2b,r=5$E/e/2AOhqM5W/KJTFQzLce$WFPIZKtDDTriqWwlmRFfHiOTeheAZWe"},
		{"password", "$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS"},
		{table, "$bcrypt-sha256$v=2,t=2b,r=5$.US1fQ4TQS.ZTz/uJ5Kyn.$pzzgp40k8reM1CuQb03PvE0IDPQSdV6"},
		{repeated, "$bcrypt-sha256$v=2,t=2b,r=5$X1g1nh3g0v4h6970O68cxe$zu1cloESVFIOsUIo7fCEgkdHaI9SSue"},
		{repeated + "qwr", "$bcrypt-sha256$v=2,t=2b,r=5$X1g1nh3g0v4h6970O68cxe$CBF9csfEdW68xv3DwE6xSULXMtqEFP."},
		{repeated + "xyz", "$bcrypt-sha256$v=2,t=2b,r=5$X1g1nh3g0v4h6970O68cxe$zC/1UDUG2ofEXB6Onr2vvyFzfhEOS3S"},
	}
}

func TestHashIsPasslibs(t *testing.T) {
	for _, vector := range passlibVectors() {
		rounds, salt, _, ok := parseHash(vector.hash)
		if !ok {
			t.Fatalf("parseHash(%q) refuses it", vector.hash)
		}

		got, err := hashWithSalt(vector.password, salt, rounds)

		if err != nil || got != vector.hash {
			t.Errorf("hash of %q = %q, %v, want %q", vector.password, got, err, vector.hash)
		}
	}
}

func TestVerifyAcceptsPasslibsHashesAndNoOtherPassword(t *testing.T) {
	for _, vector := range passlibVectors() {
		if !verifyPassword(vector.hash, vector.password) {
			t.Errorf("%q is refused by its own hash", vector.password)
		}
		if verifyPassword(vector.hash, vector.password+"x") {
			t.Errorf("%q is accepted by the hash of another password", vector.password+"x")
		}
	}
}

// A hash that an application with passlib 1.7.4 stored for "senha-antiga", at Mailu's own cost.
func TestVerifyReadsTheDefaultCost(t *testing.T) {
	const hash = "$bcrypt-sha256$v=2,t=2b,r=12$G4Hl4bVYPyC7wzKKij1/OO$oVSmlOfsCSevJc8MX5yGu7T3Iv4O.QW"

	if !verifyPassword(hash, "senha-antiga") {
		t.Error("a hash of cost 12 refuses its password")
	}
}

func TestBcryptAgreesWithTheGoLibrary(t *testing.T) {
	key := prehash("correct horse", "abcdefghijklmnopqrstuu")
	library, err := bcrypt.GenerateFromPassword(key, bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	salt, want := string(library[7:29]), string(library[29:])

	got, err := bcryptDigest(key, salt, bcrypt.MinCost)

	if err != nil || got != want {
		t.Errorf("bcryptDigest = %q, %v, want %q", got, err, want)
	}
}

func TestEveryHashHasItsOwnSalt(t *testing.T) {
	first, err := hashPassword("secret", bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}

	second, err := hashPassword("secret", bcrypt.MinCost)

	if err != nil || first == second {
		t.Errorf("second hash %q, %v equals the first", second, err)
	}
}

func TestVerifyRefusesWhatIsNoVersion2Hash(t *testing.T) {
	for _, hash := range []string{
		"",
		"password",
		"$2b$05$5Hg1DKFqPE8C2aflZ5vVoewOK1VFFtS8IGTrGa7.h5fs0u84qyPbS",
		"$bcrypt-sha256$2b,5$5Hg1DKFqPE8C2aflZ5vVoe$12BjNE0p7axMg55.Y/mHsYiVuFBDQyu",
		"$bcrypt-sha256$v=2,t=2b,r=x$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS",
		"$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVo$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS",
		"$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbT",
	} {
		if verifyPassword(hash, "password") {
			t.Errorf("verifyPassword(%q) accepts", hash)
		}
	}
}
