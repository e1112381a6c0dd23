package crypto

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is the printed form of every [Secret].
const Redacted = "[redacted]"

// Secret is a password, token or key. It prints as [Redacted] under every fmt verb and
// in JSON, text, YAML and structured logs; only [Secret.Reveal] and
// [Secret.RevealString] return the value, so a search for "Reveal" finds every place
// that handles one in the clear.
//
// The value sits behind two pointers because fmt does not call methods on unexported
// fields: a Secret inside another package's struct printed with %+v shows an address,
// never the bytes. One pointer is not enough: under a verb that does not fit it, such
// as %s, fmt prints what it points to. Copies share the value, so wiping one wipes all.
// The zero Secret is empty.
type Secret struct {
	value *secretValue
}

type secretValue struct {
	bytes *[]byte
}

// NewSecret takes ownership of b: the caller must not keep or change it.
func NewSecret(b []byte) Secret {
	return Secret{value: &secretValue{bytes: &b}}
}

// SecretFromString copies s. The string itself cannot be wiped afterwards; prefer
// [NewSecret] for values that come as bytes.
func SecretFromString(s string) Secret {
	return NewSecret([]byte(s))
}

// Reveal returns the secret's own bytes. They become zero when it is wiped.
func (s Secret) Reveal() []byte {
	if s.value == nil {
		return nil
	}
	return *s.value.bytes
}

// RevealString returns a copy that outlives [Secret.Wipe]; it is for callers
// that need a string, such as an HTTP header.
func (s Secret) RevealString() string {
	return string(s.Reveal())
}

// Empty reports whether the secret is empty or was wiped.
func (s Secret) Empty() bool {
	return len(s.Reveal()) == 0
}

// Equal compares in a time that depends only on the lengths.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.Reveal(), other.Reveal()) == 1
}

// Wipe zeroes the bytes and empties the secret and all its copies. Go may have copied
// the bytes before (a growing buffer, a string conversion): wiping shortens a secret's
// life in memory, it cannot guarantee its end.
func (s Secret) Wipe() {
	if s.value == nil {
		return
	}
	clear(*s.value.bytes)
	*s.value.bytes = nil
}

// Format implements fmt.Formatter for every verb, %x and %#v included.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, Redacted)
}

// String implements fmt.Stringer, for loggers that ask for it directly.
func (s Secret) String() string { return Redacted }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML encoders
// use as well.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }
