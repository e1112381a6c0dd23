package crypto

import (
	"bytes"
	"errors"
	"testing"
)

func TestKeyringsThatCannotBeRight(t *testing.T) {
	tests := []struct {
		name string
		keys map[KeyVersion][]byte
	}{
		{"no version", nil},
		{"an empty key", map[KeyVersion][]byte{1: {}}},
		{"16 bytes", map[KeyVersion][]byte{1: make([]byte, 16)}},
		{"31 bytes", map[KeyVersion][]byte{1: make([]byte, 31)}},
		{"33 bytes", map[KeyVersion][]byte{1: make([]byte, 33)}},
		{"one of two too long", map[KeyVersion][]byte{1: make([]byte, 32), 2: make([]byte, 64)}},
		{"version 0", map[KeyVersion][]byte{0: make([]byte, 32)}},
		{"version -1", map[KeyVersion][]byte{-1: make([]byte, 32)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ring, err := NewKeyring(test.keys)

			if err == nil {
				t.Errorf("accepted: %v", ring)
			}
		})
	}
}

func TestNewestIsTheHighestVersion(t *testing.T) {
	ring := keyringOf(t, map[KeyVersion][]byte{9: filled(9), 10: filled(10), 2: filled(2)})

	newest := ring.Newest()

	if newest.Version != 10 || !bytes.Equal(newest.key.Reveal(), filled(10)) {
		t.Errorf("newest is version %d", newest.Version)
	}
}

func TestTheRecordedVersionOpensAndNoOther(t *testing.T) {
	ring := keyringOf(t, map[KeyVersion][]byte{1: filled(1), 2: filled(2)})
	sealed, err := Seal(ring.keys[1], here, SecretFromString("sealed with version 1"))
	mustSucceed(t, err)

	password, err := ring.Open(1, here, sealed)
	_, errOther := ring.Open(2, here, sealed)

	mustSucceed(t, err)
	if password.RevealString() != "sealed with version 1" || !errors.Is(errOther, ErrSealed) {
		t.Errorf("version 1 gives %q, version 2 %v", password.RevealString(), errOther)
	}
}

func TestAVersionThatTheKeyringLacks(t *testing.T) {
	ring := keyringOf(t, map[KeyVersion][]byte{2: filled(2)})

	for _, version := range []KeyVersion{1, 3, -1} {
		if _, err := ring.Open(version, here, "irrelevant"); !errors.Is(err, ErrNoKey) {
			t.Errorf("version %d: got %v, want ErrNoKey", version, err)
		}
	}
}

func TestWithoutARecordedVersionTheNewestIsTriedFirst(t *testing.T) {
	ring := keyringOf(t, map[KeyVersion][]byte{2: filled(2), 1: filled(1), 3: filled(3)})

	keys, err := ring.candidates(0)

	mustSucceed(t, err)
	if len(keys) != 3 || keys[0].Version != 3 || keys[1].Version != 2 || keys[2].Version != 1 {
		t.Errorf("tried in the order %v", keys)
	}
}

func TestWithoutARecordedVersionAnOldKeyOpens(t *testing.T) {
	ring := keyringOf(t, map[KeyVersion][]byte{2: filled(2), 1: filled(1)})
	sealed, err := Seal(ring.keys[1], here, SecretFromString("old"))
	mustSucceed(t, err)

	password, err := ring.Open(0, here, sealed)
	_, errNone := ring.Open(0, Binding{TenantID: here.TenantID}, sealed)

	mustSucceed(t, err)
	if password.RevealString() != "old" || !errors.Is(errNone, ErrSealed) {
		t.Errorf("got %q and %v", password.RevealString(), errNone)
	}
}

func TestWipingAKeyringZeroesTheKeysThatItWasGiven(t *testing.T) {
	one, two := filled(1), filled(2)
	ring := keyringOf(t, map[KeyVersion][]byte{1: one, 2: two})

	ring.Wipe()

	if !bytes.Equal(one, make([]byte, KeySize)) || !bytes.Equal(two, make([]byte, KeySize)) {
		t.Errorf("left %x and %x", one, two)
	}
}

func filled(b byte) []byte { return bytes.Repeat([]byte{b}, KeySize) }
