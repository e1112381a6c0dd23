package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/hkdf"
)

const (
	iterations = 100_000
	ivSize     = 16 // not GCM's usual 12: the format predates this program, and GCM hashes longer IVs
	tagSize    = 16
)

// ErrSealed is returned for a sealed password that does not open: altered, or sealed
// for another tenant, timestamp or master key, which GCM cannot distinguish; or not
// base64 or too short, which [SealedPassword.CheckForm] detects.
var ErrSealed = errors.New("sealed password does not open")

// SealedPassword is a password as it is stored: base64 of IV, tag and
// ciphertext. It is safe to store, not to log.
type SealedPassword string

// Binding is what a sealed password is bound to, as the exact strings stored in the
// record: another tenant, or another spelling of the same time, gives another key.
type Binding struct {
	TenantID    string
	LastRotated string
}

// Seal encrypts password under key for the given binding, with a random IV:
// sealing twice gives two different strings. It costs one key derivation,
// 10 to 20 ms of CPU.
func Seal(key MasterKey, to Binding, password Secret) (SealedPassword, error) {
	iv := make([]byte, ivSize)
	if _, err := rand.Read(iv); err != nil {
		return "", fmt.Errorf("read random IV: %w", err)
	}
	return seal(key, to, password, iv)
}

// Seal encrypts password under the newest key and returns that key's version; see
// the function of the same name.
func (r *Keyring) Seal(to Binding, password Secret) (SealedPassword, KeyVersion, error) {
	key := r.Newest()
	r.derived.Add(1)
	sealed, err := Seal(key, to, password)
	return sealed, key.Version, err
}

func seal(key MasterKey, to Binding, password Secret, iv []byte) (SealedPassword, error) {
	aead, err := newAEAD(key, to)
	if err != nil {
		return "", err
	}
	// Go appends the tag; the format puts it between IV and ciphertext.
	out := aead.Seal(nil, iv, password.Reveal(), nil)
	text, tag := out[:len(out)-tagSize], out[len(out)-tagSize:]
	raw := make([]byte, 0, ivSize+len(out))
	raw = append(append(append(raw, iv...), tag...), text...)
	return SealedPassword(base64.StdEncoding.EncodeToString(raw)), nil
}

// Open decrypts sealed with the key version that the record names; version 0 tries
// every version, newest first, at one key derivation each. It returns [ErrSealed] if no
// key opens it and [ErrNoKey] if the keyring lacks the version.
func (r *Keyring) Open(version KeyVersion, from Binding, sealed SealedPassword) (Secret, error) {
	keys, err := r.candidates(version)
	if err != nil {
		return Secret{}, err
	}
	if err := sealed.CheckForm(); err != nil {
		return Secret{}, err // without the cost of a derivation
	}
	for _, key := range keys {
		r.derived.Add(1)
		password, err := open(key, from, sealed)
		if err == nil || !errors.Is(err, ErrSealed) {
			return password, err
		}
	}
	return Secret{}, ErrSealed
}

func open(key MasterKey, from Binding, sealed SealedPassword) (Secret, error) {
	raw, err := decode(string(sealed))
	if err != nil || len(raw) < ivSize+tagSize {
		return Secret{}, ErrSealed
	}
	aead, err := newAEAD(key, from)
	if err != nil {
		return Secret{}, err
	}
	iv, tag, text := raw[:ivSize], raw[ivSize:ivSize+tagSize], raw[ivSize+tagSize:]
	joined := append(append(make([]byte, 0, len(text)+tagSize), text...), tag...)
	password, err := aead.Open(nil, iv, joined, nil)
	if err != nil {
		return Secret{}, ErrSealed
	}
	return NewSecret(password), nil
}

func newAEAD(master MasterKey, b Binding) (cipher.AEAD, error) {
	salt := []byte(b.TenantID + b.LastRotated)
	prk, err := stretch(master, salt)
	if err != nil {
		return nil, err
	}
	defer clear(prk)
	key, err := derive(prk, salt, b.TenantID)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("aes: %w", err)
	}
	aead, err := cipher.NewGCMWithNonceSize(block, ivSize)
	if err != nil {
		return nil, fmt.Errorf("gcm: %w", err)
	}
	return aead, nil
}

// stretch is the envelope's PBKDF2 step (RFC 8018, section 5.2). It is most of a
// rotation's cost on this host: about 20 ms of one core. The key's copy as a string,
// which both PBKDF2 packages make, cannot be wiped; it is garbage once stretch returns.
func stretch(master MasterKey, salt []byte) ([]byte, error) {
	prk, err := pbkdf2.Key(sha256.New, master.key.RevealString(), salt, iterations, KeySize)
	if err != nil {
		return nil, fmt.Errorf("pbkdf2: %w", err)
	}
	return prk, nil
}

// derive is the envelope's HKDF step (RFC 5869). The info string is part of the format
// and does not depend on the mount or prefix of the records.
func derive(prk, salt []byte, tenantID string) ([]byte, error) {
	key := make([]byte, KeySize)
	info := []byte("smtp/" + tenantID + "/admin/password")
	if _, err := io.ReadFull(hkdf.New(sha256.New, prk, salt, info), key); err != nil {
		return nil, fmt.Errorf("hkdf: %w", err)
	}
	return key, nil
}
