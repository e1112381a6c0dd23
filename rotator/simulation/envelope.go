package simulation

import (
	"errors"
	"fmt"
	"strings"

	"mailu-rotator/crypto"
)

const keyVersion crypto.KeyVersion = 1

var errNotSealedSo = errors.New("not sealed so")

// envelope seals without cryptography, because a key derivation costs more than
// a whole schedule. What the protocol can tell of the real one it keeps: a
// sealed password opens only with what it was sealed for, and no two seals are
// equal. Each process has its own, so that the strings of one process do not
// depend on what the others did first.
type envelope struct {
	by    string
	seals int
}

// Seal implements rotator.Envelope.
func (e *envelope) Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error) {
	e.seals++
	return crypto.SealedPassword(fmt.Sprintf("%s%s#%d|%s", sealPrefix(to), e.by, e.seals, password.Reveal())), keyVersion, nil
}

// Open implements rotator.Envelope.
func (*envelope) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	rest, bound := strings.CutPrefix(string(sealed), sealPrefix(from))
	_, password, whole := strings.Cut(rest, "|")
	if !bound || !whole || version != keyVersion && version != 0 {
		return crypto.Secret{}, errNotSealedSo
	}
	return crypto.SecretFromString(password), nil
}

func sealPrefix(b crypto.Binding) string { return "sealed|" + b.TenantID + "|" + b.LastRotated + "|" }
