package simulation

import (
	"errors"
	"fmt"
	"strings"

	"mailu-rotator/crypto"
)

const firstKey crypto.KeyVersion = 1

var errNotSealedSo = errors.New("not sealed so")

// envelope seals without cryptography, because a key derivation costs more than a whole
// schedule. It keeps every property that the protocol can observe: a sealed password
// opens only with the binding and key that it was sealed for, and no two seals are
// equal. Each process has its own envelope, so that its strings do not depend on what
// the others did first.
type envelope struct {
	by     string
	newest crypto.KeyVersion
	seals  int
}

// Seal implements rotator.Envelope.
func (e *envelope) Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error) {
	e.seals++
	return crypto.SealedPassword(fmt.Sprintf("%s%s#%d|%s", sealPrefix(e.newest, to), e.by, e.seals, password.Reveal())), e.newest, nil
}

// Open implements rotator.Envelope.
func (e *envelope) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	for key := firstKey; key <= e.newest; key++ {
		rest, bound := strings.CutPrefix(string(sealed), sealPrefix(key, from))
		_, password, whole := strings.Cut(rest, "|")
		if bound && whole && (version == key || version == 0) {
			return crypto.SecretFromString(password), nil
		}
	}
	return crypto.Secret{}, errNotSealedSo
}

func sealPrefix(key crypto.KeyVersion, b crypto.Binding) string {
	return fmt.Sprintf("sealed|%d|%s|%s|", key, b.TenantID, b.LastRotated)
}
