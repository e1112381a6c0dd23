package crypto

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestTheChainIsPBKDF2(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(rt, "key")
		salt := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "salt")
		rounds := rapid.IntRange(1, 50).Draw(rt, "rounds")
		want, err := pbkdf2.Key(sha256.New, string(key), salt, rounds, KeySize)
		mustSucceed(t, err)

		got, ok := stretchInChain(newSHA256, key, salt, rounds)

		if !ok || !bytes.Equal(got, want) {
			rt.Fatalf("got %x, %v, want %x", got, ok, want)
		}
	})
}

// Go says that a state can be saved, not what it looks like.
func TestTheChainVouchesForNothingThatItHasNotSeen(t *testing.T) {
	swap := func(state []byte) []byte {
		state[4], state[5] = state[5], state[4]
		return state
	}
	tests := []struct {
		name string
		hash oddHash
		want bool
	}{
		{"a state as ever", oddHash{}, true},
		{"a state with more before it", oddHash{ahead: []byte("version 2 ")}, true},
		{"the digest in another order", oddHash{change: swap}, false},
		{"the digest in another order, at times", oddHash{change: swap, from: 4}, false},
		{"a state that cannot be saved", oddHash{save: errors.ErrUnsupported}, false},
		{"a state that cannot be put back", oddHash{restore: errors.ErrUnsupported}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key, salt := bytes.Repeat([]byte{7}, KeySize), []byte("salt")
			right, err := pbkdf2.Key(sha256.New, string(key), salt, 10, KeySize)
			mustSucceed(t, err)
			odd := test.hash

			got, ok := stretchInChain(func() (resumable, bool) {
				odd.resumable, _ = newSHA256()
				return &odd, true
			}, key, salt, 10)

			if ok != test.want || ok && !bytes.Equal(got, right) {
				t.Errorf("got %x, %v, want %v and %x", got, ok, test.want, right)
			}
		})
	}
	if _, ok := stretchInChain(func() (resumable, bool) { return nil, false }, make([]byte, KeySize), nil, 10); ok {
		t.Error("a hash without a state is vouched for")
	}
}

// oddHash is SHA-256 of a release of Go yet to come.
type oddHash struct {
	resumable
	ahead   []byte
	change  func([]byte) []byte
	from    int // the saved state, counted from 0, that is changed first
	saved   int
	save    error
	restore error
}

func (h *oddHash) AppendBinary(b []byte) ([]byte, error) {
	state, err := h.resumable.AppendBinary(nil)
	if h.change != nil && h.saved >= h.from {
		state = h.change(state)
	}
	h.saved++
	return append(append(b, h.ahead...), state...), errors.Join(err, h.save)
}

func (h *oddHash) UnmarshalBinary(state []byte) error {
	if h.change != nil && h.saved > h.from {
		state = h.change(bytes.Clone(state))
	}
	return errors.Join(h.resumable.UnmarshalBinary(state[len(h.ahead):]), h.restore)
}

// On a Go for which this fails all is right, and slower: see to the chain then.
func TestThisGoAllowsTheChain(t *testing.T) {
	if _, ok := stretchInChain(newSHA256, make([]byte, KeySize), nil, 2); !ok {
		t.Error("the chain vouches for nothing here: a saved state of crypto/sha256 is not what it was")
	}
}

func TestTheChainLeavesNothingOfTheKey(t *testing.T) {
	h, _ := newSHA256()
	c := chain{hash: h}
	if !c.begin(bytes.Repeat([]byte{7}, KeySize), make([]byte, sha256.Size)) || !c.next() {
		t.Fatal("no chain here")
	}

	c.wipe()

	for _, kept := range [][]byte{c.starts[0], c.starts[1], c.block[:], c.state[:cap(c.state)]} {
		if len(kept) == 0 || !bytes.Equal(kept, make([]byte, len(kept))) {
			t.Errorf("%x is left", kept)
		}
	}
}

// BenchmarkStretch is against the standard library's:
//
//	go test ./crypto -run NONE -bench Stretch -count 5
func BenchmarkStretch(b *testing.B) {
	master, salt := MasterKey{key: NewSecret(make([]byte, KeySize))}, make([]byte, 60)
	b.Run("chain", func(b *testing.B) {
		for b.Loop() {
			_, _ = stretch(master, salt)
		}
	})
	b.Run("standard library", func(b *testing.B) {
		for b.Loop() {
			_, _ = pbkdf2.Key(sha256.New, string(make([]byte, KeySize)), salt, iterations, KeySize)
		}
	})
}
