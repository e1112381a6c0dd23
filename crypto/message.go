package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/hkdf"
)

const (
	// messageInfo separates the key of messages from the keys of passwords, which are
	// derived from the output of PBKDF2.
	messageInfo = "mailu-rotator/message/1"
	nonceSize   = 12 // random: a key must seal fewer than 2^32 messages (NIST SP 800-38D, 8.3)
	headerSize  = 4  // the version of the master key, big-endian
)

// ErrMessage is returned for a message that does not open: it was altered, sealed for
// another subject, or by somebody who does not hold the master key.
var ErrMessage = errors.New("message does not open")

// SealMessage seals a message to other processes that hold this version of the master
// key, or returns [ErrNoKey]. It opens only with the same subject. The form is
//
//	key    = HKDF-SHA256(master_key, no salt, info = "mailu-rotator/message/1", 32 bytes)
//	sealed = key version (4 bytes) || nonce (12 random bytes) || AES-256-GCM(message, tag)
//
// with subject as additional data. A message is no secret store: it must not carry a
// password, since anybody who gets the key later could read it.
func (r *Keyring) SealMessage(version KeyVersion, subject string, message []byte) ([]byte, error) {
	key, err := r.messageKey(version)
	if err != nil {
		return nil, err
	}
	aead, err := messageAEAD(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, headerSize+nonceSize, headerSize+nonceSize+len(message)+aead.Overhead())
	binary.BigEndian.PutUint32(out, uint32(key.Version)) //nolint:gosec // versions are small and positive
	if _, err := rand.Read(out[headerSize:]); err != nil {
		return nil, fmt.Errorf("read random nonce: %w", err)
	}
	return aead.Seal(out, out[headerSize:], message, []byte(subject)), nil
}

// OpenMessage opens what [Keyring.SealMessage] sealed for the subject, and returns the
// version of the master key that it is sealed under. The error is [ErrMessage] or
// [ErrNoKey].
func (r *Keyring) OpenMessage(subject string, sealed []byte) ([]byte, KeyVersion, error) {
	if len(sealed) < headerSize+nonceSize {
		return nil, 0, ErrMessage
	}
	version := KeyVersion(binary.BigEndian.Uint32(sealed))
	key, err := r.messageKey(version)
	if err != nil {
		return nil, version, err
	}
	aead, err := messageAEAD(key)
	if err != nil {
		return nil, version, err
	}
	message, err := aead.Open(nil, sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:], []byte(subject))
	if err != nil {
		return nil, version, ErrMessage
	}
	return message, version, nil
}

// messageKey finds a version, which a message always names.
func (r *Keyring) messageKey(version KeyVersion) (MasterKey, error) {
	if version == 0 {
		return MasterKey{}, ErrMessage
	}
	keys, err := r.candidates(version)
	if err != nil {
		return MasterKey{}, err
	}
	return keys[0], nil
}

func messageAEAD(master MasterKey) (cipher.AEAD, error) {
	key := make([]byte, KeySize)
	defer clear(key)
	if _, err := io.ReadFull(hkdf.New(sha256.New, master.key.Reveal(), nil, []byte(messageInfo)), key); err != nil {
		return nil, fmt.Errorf("hkdf: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("aes: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("gcm: %w", err)
	}
	return aead, nil
}
