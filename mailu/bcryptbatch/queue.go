// Package bcryptbatch compares passwords with bcrypt hashes: up to three that wait for a core
// in one interleaved loop, each in less than half the time. What waits alone is left to
// golang.org/x/crypto/bcrypt, and so is each mismatch: an error in the loop could refuse no
// right password, nor accept a wrong one, unless it computed the hash's own digest from that.
package bcryptbatch

import (
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// alphabet is bcrypt's own base64.
var alphabet = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

// Queue holds the comparisons that wait for a core. Its zero value is empty.
type Queue struct {
	mu      sync.Mutex
	waiting []*Comparison
}

// Comparison is of one password with one hash.
type Comparison struct {
	queue                *Queue
	hash, salt, password []byte
	rounds               int // binary logarithm
	done                 chan struct{}
	err                  error // valid once done is closed
}

// Add adds a comparison; the caller must call its Compute and then its Result. The hash is
// "$2b$12$", 22 characters of salt, 31 of digest; an error means that it has another form.
// The password is wiped once it has been compared.
func (q *Queue) Add(hash, password []byte) (*Comparison, error) {
	rounds, err := bcrypt.Cost(hash)
	if err != nil || len(hash) != 60 {
		return nil, bcrypt.ErrHashTooShort // others quote parts of the hash
	}
	salt, err := alphabet.DecodeString(string(hash[7:29]))
	if err != nil {
		return nil, err
	}
	c := &Comparison{queue: q, hash: hash, salt: salt, password: password, rounds: rounds, done: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
	return c, nil
}

// Compute keeps a core busy: with c and others that wait, or with others alone if another
// core has c already.
func (c *Comparison) Compute() {
	batch := c.queue.next(c)
	match := compare(batch)
	for n, c := range batch {
		if !match[n] {
			c.err = bcrypt.CompareHashAndPassword(c.hash, c.password)
		}
		clear(c.password)
		close(c.done)
	}
}

// Result waits until a core has compared c: nil, or [bcrypt.ErrMismatchedHashAndPassword].
func (c *Comparison) Result() error {
	<-c.done
	return c.err
}

// next takes a batch of equal rounds from the queue: c if it waits, since no other Compute
// need come for it.
func (q *Queue) next(c *Comparison) (batch []*Comparison) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		batch = append(batch, q.waiting[max(0, slices.Index(q.waiting, c))])
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(other *Comparison) bool {
		if other != batch[0] && other.rounds == batch[0].rounds && len(batch) < width {
			batch = append(batch, other)
		}
		return slices.Contains(batch, other)
	})
	return batch
}

// compare computes the hashes of two or three; one is not worth the loop.
func compare(batch []*Comparison) (match [width]bool) {
	if len(batch) < 2 {
		return match
	}
	var keys, salts words
	for n, c := range batch {
		key := append(slices.Clip(c.password), 0)
		for i := range 4 * len(keys[n]) {
			keys[n][i/4] = keys[n][i/4]<<8 | uint32(key[i%len(key)])
			salts[n][i/4] = salts[n][i/4]<<8 | uint32(c.salt[i%len(c.salt)])
		}
		clear(key)
	}
	sums := digests(&keys, &salts, batch[0].rounds)
	clear(keys[:])
	for n, c := range batch {
		match[n] = subtle.ConstantTimeCompare(alphabet.AppendEncode(nil, sums[n][:23]), c.hash[29:]) == 1
	}
	return match
}
