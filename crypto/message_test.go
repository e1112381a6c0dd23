package crypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
)

func messageRing(t *testing.T, versions ...KeyVersion) *Keyring {
	t.Helper()
	keys := map[KeyVersion][]byte{}
	for _, v := range versions {
		keys[v] = bytes.Repeat([]byte{byte(v)}, KeySize)
	}
	ring, err := NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestMessageOpensForItsSubject(t *testing.T) {
	ring := messageRing(t, 1, 2)
	for _, message := range []string{"", "a batch", string(bytes.Repeat([]byte("x"), 100_000))} {
		sealed, err := ring.SealMessage(1, "mr.work.a", []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		opened, version, err := ring.OpenMessage("mr.work.a", sealed)
		if err != nil || version != 1 || string(opened) != message {
			t.Errorf("opened %d bytes, %v; sealed %d", len(opened), err, len(message))
		}
		if len(message) > 0 && bytes.Contains(sealed, []byte(message)) {
			t.Error("the message can be read in what was sealed")
		}
	}
}

func TestMessageOpensUnderAnOlderKey(t *testing.T) {
	sealed, err := messageRing(t, 1).SealMessage(1, "s", []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, version, err := messageRing(t, 1, 2).OpenMessage("s", sealed); err != nil || version != 1 || string(opened) != "m" {
		t.Errorf("opened %q, %v", opened, err)
	}
}

func TestMessageNeedsItsVersionOfTheKey(t *testing.T) {
	sealed, err := messageRing(t, 1, 2).SealMessage(2, "s", []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if _, version, err := messageRing(t, 1).OpenMessage("s", sealed); version != 2 || !errors.Is(err, ErrNoKey) {
		t.Errorf("version %d, error %v, want 2 and ErrNoKey", version, err)
	}
	if _, err := messageRing(t, 1).SealMessage(2, "s", nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("error %v, want ErrNoKey", err)
	}
	if _, err := messageRing(t, 1).SealMessage(0, "s", nil); err == nil {
		t.Error("sealed without a version")
	}
}

func TestEqualMessagesAreSealedDifferently(t *testing.T) {
	ring := messageRing(t, 1)
	one, _ := ring.SealMessage(1, "s", []byte("m"))
	other, _ := ring.SealMessage(1, "s", []byte("m"))
	if bytes.Equal(one, other) {
		t.Error("the nonce repeats")
	}
}

func TestMessageThatIsRefused(t *testing.T) {
	ring := messageRing(t, 1)
	sealed, err := ring.SealMessage(1, "mr.work.a", []byte("a batch"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := NewKeyring(map[KeyVersion][]byte{1: bytes.Repeat([]byte{9}, KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := foreign.SealMessage(1, "mr.work.a", []byte("a batch"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		subject string
		sealed  []byte
	}{
		"another subject":  {"mr.work.b", sealed},
		"another key":      {"mr.work.a", forged},
		"cut":              {"mr.work.a", sealed[:len(sealed)-1]},
		"too short":        {"mr.work.a", sealed[:headerSize]},
		"empty":            {"mr.work.a", nil},
		"without version":  {"mr.work.a", append(make([]byte, headerSize), sealed[headerSize:]...)},
		"last bit flipped": {"mr.work.a", append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1)},
	} {
		if _, _, err := ring.OpenMessage(c.subject, c.sealed); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: error %v, want ErrMessage", name, err)
		}
	}
}

func TestMessageHasTheDocumentedForm(t *testing.T) {
	sealed, err := messageRing(t, 7).SealMessage(7, "mr.work.a", []byte("a batch"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := hkdf.Key(sha256.New, bytes.Repeat([]byte{7}, KeySize), nil, "mailu-rotator/message/1", 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}

	opened, err := aead.Open(nil, sealed[4:16], sealed[16:], []byte("mr.work.a"))

	if err != nil || string(opened) != "a batch" || binary.BigEndian.Uint32(sealed) != 7 {
		t.Errorf("opened %q of version %d, error %v", opened, binary.BigEndian.Uint32(sealed), err)
	}
}
