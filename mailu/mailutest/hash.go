package mailutest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/blowfish" //nolint:staticcheck // deprecated for new formats; bcrypt is made of it, and its package takes no salt
)

// Mailu stores hashes of passlib's bcrypt_sha256, version 2 (mailu/models.py User.get_password_context;
// passlib/handlers/bcrypt.py class bcrypt_sha256): bcrypt of base64(HMAC-SHA256(key = salt, password)). The HMAC key is
// the salt as its 22 characters of text. The resulting 44 characters stay below the 72 bytes that bcrypt reads, so
// every character of a long password counts, and a zero byte in it is harmless.

// hashPassword returns the string that Mailu would store for password, with a new salt.
func hashPassword(password string, rounds int) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	return hashWithSalt(password, bcryptBase64().EncodeToString(salt), rounds)
}

func hashWithSalt(password, salt string, rounds int) (string, error) {
	digest, err := bcryptDigest(prehash(password, salt), salt, rounds)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$bcrypt-sha256$v=2,t=2b,r=%d$%s$%s", rounds, salt, digest), nil
}

// verifyPassword deliberately uses x/crypto/bcrypt and not bcryptDigest: two implementations must agree before a login
// succeeds. A string that is not a version 2 hash verifies nothing.
func verifyPassword(hash, password string) bool {
	rounds, salt, digest, ok := parseHash(hash)
	if !ok {
		return false
	}
	plain := fmt.Sprintf("$2b$%02d$%s%s", rounds, salt, digest)
	return bcrypt.CompareHashAndPassword([]byte(plain), prehash(password, salt)) == nil
}

func parseHash(hash string) (rounds int, salt, digest string, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "bcrypt-sha256" {
		return 0, "", "", false
	}
	number, found := strings.CutPrefix(parts[2], "v=2,t=2b,r=")
	rounds, err := strconv.Atoi(number)
	if !found || err != nil || len(parts[3]) != 22 || len(parts[4]) != 31 {
		return 0, "", "", false
	}
	return rounds, parts[3], parts[4], true
}

func prehash(password, salt string) []byte {
	mac := hmac.New(sha256.New, []byte(salt))
	mac.Write([]byte(password))
	return []byte(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// bcryptDigest is bcrypt (Provos and Mazières, "A Future-Adaptable Password Scheme", 1999) with a salt from the caller,
// which x/crypto/bcrypt does not offer and version 2 needs: there the salt is known before the key.
func bcryptDigest(key []byte, salt string, rounds int) (string, error) {
	rawSalt, err := bcryptBase64().DecodeString(salt)
	if err != nil {
		return "", fmt.Errorf("decode bcrypt salt: %w", err)
	}
	// Every bcrypt since 2a appends the zero byte that ends a C string to the key.
	key = append(key[:len(key):len(key)], 0)
	cipher, err := blowfish.NewSaltedCipher(key, rawSalt)
	if err != nil {
		return "", fmt.Errorf("set up bcrypt: %w", err)
	}
	for range 1 << rounds {
		blowfish.ExpandKey(key, cipher)
		blowfish.ExpandKey(rawSalt, cipher)
	}
	text := []byte("OrpheanBeholderScryDoubt")
	for block := 0; block < len(text); block += blowfish.BlockSize {
		for range 64 {
			cipher.Encrypt(text[block:], text[block:])
		}
	}
	// The first implementation omitted the last of the 24 bytes, and all others do the same.
	return bcryptBase64().EncodeToString(text[:23]), nil
}

func bcryptBase64() *base64.Encoding {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return base64.NewEncoding(alphabet).WithPadding(base64.NoPadding)
}
