package crypto_test

import (
	"testing"

	"mailu-rotator/crypto"
)

func TestASecretGivesItsValueToReveal(t *testing.T) {
	secret := crypto.SecretFromString("value")

	if string(secret.Reveal()) != "value" || secret.RevealString() != "value" || secret.Empty() {
		t.Errorf("reveals %q and %q", secret.Reveal(), secret.RevealString())
	}
}

func TestTheZeroSecretIsEmptyAndCanBeUsed(t *testing.T) {
	var secret crypto.Secret

	secret.Wipe()

	if !secret.Empty() || secret.RevealString() != "" || secret.String() != crypto.Redacted {
		t.Errorf("reveals %q, prints as %s", secret.RevealString(), secret)
	}
}

func TestSecretsCompareByValue(t *testing.T) {
	tests := []struct {
		name string
		a, b crypto.Secret
		want bool
	}{
		{"same value", crypto.SecretFromString("a"), crypto.SecretFromString("a"), true},
		{"another value", crypto.SecretFromString("a"), crypto.SecretFromString("b"), false},
		{"another length", crypto.SecretFromString("a"), crypto.SecretFromString("aa"), false},
		{"empty and zero", crypto.SecretFromString(""), crypto.Secret{}, true},
		{"something and zero", crypto.SecretFromString("a"), crypto.Secret{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.a.Equal(test.b) != test.want || test.b.Equal(test.a) != test.want {
				t.Errorf("want %t", test.want)
			}
		})
	}
}

func TestWipingEmptiesAllCopiesAndZeroesTheBytes(t *testing.T) {
	bytes := []byte("value")
	secret := crypto.NewSecret(bytes)
	duplicate := secret
	text := secret.RevealString()

	secret.Wipe()

	if !secret.Empty() || !duplicate.Empty() || string(bytes) != "\x00\x00\x00\x00\x00" {
		t.Errorf("left %q in a copy, %q in memory", duplicate.RevealString(), bytes)
	}
	if text != "value" {
		t.Errorf("the revealed string became %q", text)
	}
}
