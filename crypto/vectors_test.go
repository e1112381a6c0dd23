package crypto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// vector is one entry of testdata/envelope.json. The entries that must fail
// have no intermediate values.
type vector struct {
	Name        string         `json:"name"`
	MasterKey   string         `json:"master_key_hex"`
	TenantID    string         `json:"tenant_id"`
	LastRotated string         `json:"last_rotated"`
	IV          string         `json:"iv_hex"`
	PBKDF2      string         `json:"pbkdf2_hex"`
	Key         string         `json:"key_hex"`
	Password    string         `json:"password"`
	Stored      SealedPassword `json:"stored"`
}

func (v vector) binding() Binding {
	return Binding{TenantID: v.TenantID, LastRotated: v.LastRotated}
}

func (v vector) salt() []byte { return []byte(v.TenantID + v.LastRotated) }

func (v vector) keyring(t *testing.T) *Keyring {
	t.Helper()
	return keyringOf(t, map[KeyVersion][]byte{1: unhex(t, v.MasterKey)})
}

func TestVectorsGiveEveryIntermediateValue(t *testing.T) {
	for _, v := range vectors(t).Valid {
		t.Run(v.Name, func(t *testing.T) {
			master := v.keyring(t).Newest()

			prk, err := stretch(master, v.salt())
			mustSucceed(t, err)
			key, err := derive(prk, v.salt(), v.TenantID)
			mustSucceed(t, err)

			if got := hex.EncodeToString(prk); got != v.PBKDF2 {
				t.Errorf("PBKDF2 gives %s, want %s", got, v.PBKDF2)
			}
			if got := hex.EncodeToString(key); got != v.Key {
				t.Errorf("HKDF gives %s, want %s", got, v.Key)
			}
		})
	}
}

func TestVectorsSealToTheStoredStringUnderTheirIV(t *testing.T) {
	for _, v := range vectors(t).Valid {
		t.Run(v.Name, func(t *testing.T) {
			sealed, err := seal(v.keyring(t).Newest(), v.binding(), SecretFromString(v.Password), unhex(t, v.IV))

			mustSucceed(t, err)
			if sealed != v.Stored {
				t.Errorf("sealed to %s, want %s", sealed, v.Stored)
			}
		})
	}
}

func TestVectorsOpen(t *testing.T) {
	for _, v := range vectors(t).Valid {
		t.Run(v.Name, func(t *testing.T) {
			password, err := v.keyring(t).Open(1, v.binding(), v.Stored)

			mustSucceed(t, err)
			if password.RevealString() != v.Password {
				t.Errorf("opens to %q, want %q", password.RevealString(), v.Password)
			}
		})
	}
}

func TestVectorsThatMustFailDo(t *testing.T) {
	for _, v := range vectors(t).MustFail {
		t.Run(v.Name, func(t *testing.T) {
			password, err := v.keyring(t).Open(1, v.binding(), v.Stored)

			if !errors.Is(err, ErrSealed) || !password.Empty() {
				t.Errorf("got %q, %v, want ErrSealed", password.RevealString(), err)
			}
		})
	}
}

// The original file lies beside the checkout where the format is maintained; elsewhere
// there is nothing to compare with.
func TestVectorsAreTheFoundingOnes(t *testing.T) {
	founding, err := os.ReadFile("../../shared/vectors/envelope.json")
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	mustSucceed(t, err)

	copied, err := os.ReadFile("testdata/envelope.json")

	mustSucceed(t, err)
	if !bytes.Equal(copied, founding) {
		t.Error("testdata/envelope.json differs from the founding vectors")
	}
}

type vectorFile struct {
	Valid    []vector `json:"valid"`
	MustFail []vector `json:"must_fail"`
}

func vectors(t *testing.T) (file vectorFile) {
	t.Helper()
	raw, err := os.ReadFile("testdata/envelope.json")
	mustSucceed(t, err)
	mustSucceed(t, json.Unmarshal(raw, &file))
	if len(file.Valid) == 0 || len(file.MustFail) == 0 {
		t.Fatal("testdata/envelope.json has no vectors")
	}
	return file
}

func keyringOf(t testing.TB, keys map[KeyVersion][]byte) *Keyring {
	t.Helper()
	ring, err := NewKeyring(keys)
	mustSucceed(t, err)
	return ring
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	mustSucceed(t, err)
	return raw
}

func mustSucceed(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
