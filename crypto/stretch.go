package crypto

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"
)

// stretch is the envelope's PBKDF2 step (RFC 8018, section 5.2).
//
// It is nearly all that a rotation costs this host. The standard library spends a
// third of it around SHA-256, on copying and padding digests, which a [chain]
// spares. For that it reads digests out of saved states, whose layout Go does not
// promise: so it looks, for every key, where the state has one that it knows, and
// compares its first result with the standard library's. Where it is not sure the
// standard library does it all.
func stretch(master MasterKey, salt []byte) ([]byte, error) {
	if prk, ok := stretchInChain(newSHA256, master.key.Reveal(), salt, iterations); ok {
		return prk, nil
	}
	prk, err := pbkdf2.Key(sha256.New, master.key.RevealString(), salt, iterations, KeySize)
	if err != nil {
		return nil, fmt.Errorf("pbkdf2: %w", err)
	}
	return prk, nil
}

// resumable is a hash whose state can be saved and put back, as crypto/sha256 says
// its own can be.
type resumable interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

func newSHA256() (resumable, bool) {
	h, ok := sha256.New().(resumable)
	return h, ok
}

// stretchInChain is PBKDF2-HMAC-SHA256 for a result of one digest, without the
// standard library's loop. It is false where it cannot vouch for the result.
func stretchInChain(newHash func() (resumable, bool), key, salt []byte, rounds int) ([]byte, bool) {
	first := mac(key, salt, []byte{0, 0, 0, 1})
	second := mac(key, first)
	defer clear(second)
	h, ok := newHash()
	if !ok {
		return nil, false
	}
	c := chain{hash: h}
	defer c.wipe()
	if !c.begin(key, first) {
		return nil, false
	}
	sum := first
	for n := 1; n < rounds; n++ {
		if !c.next() || n == 1 && !bytes.Equal(c.digest(), second) {
			return nil, false
		}
		subtle.XORBytes(sum, sum, c.digest())
	}
	return sum, true
}

// mac is HMAC-SHA256 by the standard library.
func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		_, _ = h.Write(part) // never fails (hash.Hash)
	}
	return h.Sum(nil)
}

// chain takes HMAC-SHA256 of its own last result, again and again. An HMAC is two
// hashes, each of the key's block and one more: the message or the inner digest,
// padded. SHA-256's state after a padded block is the digest, so nothing has to be
// finished or copied (RFC 2104, section 4; FIPS 180-4, sections 5.1.1 and 6.2).
type chain struct {
	hash   resumable
	starts [2][]byte              // saved states after the key's block: inner, outer
	block  [sha256.BlockSize]byte // the last digest, and the padding of what ends with it
	state  []byte                 // scratch, for a saved state
	at     int                    // where in a saved state the digest is
}

// stateRoom is more than a saved state takes, which would otherwise leave copies of
// itself behind as it grows.
const stateRoom = 4 * sha256.BlockSize

// begin takes the digest first as the last one so far. It is false where a saved
// state is not what the chain needs it to be, or the key longer than a block.
func (c *chain) begin(key, first []byte) (ok bool) {
	if len(key) > sha256.BlockSize {
		return false
	}
	copy(c.block[:], first)
	c.block[sha256.Size] = 0x80
	binary.BigEndian.PutUint64(c.block[sha256.BlockSize-8:], 8*(sha256.BlockSize+sha256.Size))
	for i, pad := range []byte{0x36, 0x5c} {
		padded := bytes.Repeat([]byte{pad}, sha256.BlockSize)
		subtle.XORBytes(padded, padded, key)
		c.hash.Reset()
		_, _ = c.hash.Write(padded)
		clear(padded)
		if c.starts[i], ok = save(c.hash, make([]byte, 0, stateRoom)); !ok {
			return false
		}
	}
	c.state = make([]byte, 0, stateRoom)
	return c.locate(first)
}

// locate finds out where a saved state has the digest, by that of the key's inner
// block and the message, which is the chain's first.
func (c *chain) locate(message []byte) bool {
	if c.hash.UnmarshalBinary(c.starts[0]) != nil {
		return false
	}
	_, _ = c.hash.Write(message)
	known := c.hash.Sum(nil)
	defer clear(known)
	if !c.absorb(c.starts[0]) {
		return false
	}
	c.at = bytes.Index(c.state, known)
	return c.at >= 0
}

// next replaces the digest by its HMAC.
func (c *chain) next() bool {
	for _, start := range c.starts {
		if !c.absorb(start) {
			return false
		}
		copy(c.block[:sha256.Size], c.state[c.at:])
	}
	return true
}

// absorb saves the state after start and the block.
func (c *chain) absorb(start []byte) (ok bool) {
	if c.hash.UnmarshalBinary(start) != nil {
		return false
	}
	_, _ = c.hash.Write(c.block[:])
	c.state, ok = save(c.hash, c.state[:0])
	return ok
}

func (c *chain) digest() []byte { return c.block[:sha256.Size] }

func (c *chain) wipe() {
	clear(c.starts[0])
	clear(c.starts[1])
	clear(c.block[:])
	clear(c.state)
	c.hash.Reset()
}

func save(h resumable, to []byte) ([]byte, bool) {
	state, err := h.AppendBinary(to)
	return state, err == nil
}
