package bcryptbatch

import (
	"encoding/binary"
	"math/big"
	"sync"
)

// width is how many hashes the loop computes: for a fourth an amd64 has too few registers.
const width = 3

// state is Blowfish's: 18 subkeys, then four boxes of 256 words. Each step looks up what the
// step before it computed, so one hash makes a core wait most of the time. The lanes do not
// wait for one another.
type state [18 + 4*256]uint32
type lanes [width]state
type words [width][18]uint32

// digests is bcrypt (Provos, Mazières: A Future-Adaptable Password Scheme, 1999). Keys and
// salts are repeated to 18 words.
func digests(keys, salts *words, rounds int) (sums [width][24]byte) {
	l, none := lanes{*initial(), *initial(), *initial()}, words{}
	l.expand(keys, salts)
	for range 1 << rounds {
		l.expand(keys, &none)
		l.expand(salts, &none)
	}
	text := []byte("OrpheanBeholderScryDoubt")
	for at := 0; at < len(text); at += 8 {
		a, b := binary.BigEndian.Uint32(text[at:]), binary.BigEndian.Uint32(text[at+4:])
		c, d, e, f := a, b, a, b
		for range 64 {
			a, b, c, d, e, f = l.encrypt(a, b, c, d, e, f)
		}
		for n, word := range [...]uint32{a, b, c, d, e, f} {
			binary.BigEndian.PutUint32(sums[n/2][at+n%2*4:], word)
		}
	}
	return sums
}

// expand mixes the keys, and the first four words of the salts, into the states.
func (l *lanes) expand(keys, salts *words) {
	for n := range l {
		for i, word := range keys[n] {
			l[n][i] ^= word
		}
	}
	var a, b, c, d, e, f uint32
	for i := 0; i < len(state{}); i += 2 {
		s, t := i&2, i&2+1
		a, b, c, d, e, f = l.encrypt(a^salts[0][s], b^salts[0][t], c^salts[1][s], d^salts[1][t], e^salts[2][s], f^salts[2][t])
		l[0][i], l[0][i+1], l[1][i], l[1][i+1], l[2][i], l[2][i+1] = a, b, c, d, e, f
	}
}

// encrypt encrypts a block in each lane.
func (l *lanes) encrypt(a, b, c, d, e, f uint32) (uint32, uint32, uint32, uint32, uint32, uint32) {
	x, y, z := &l[0], &l[1], &l[2]
	a, c, e = a^x[0], c^y[0], e^z[0]
	for i := 1; i < 17; i += 2 {
		b, d, f = b^x.mix(a)^x[i], d^y.mix(c)^y[i], f^z.mix(e)^z[i]
		a, c, e = a^x.mix(b)^x[i+1], c^y.mix(d)^y[i+1], e^z.mix(f)^z[i+1]
	}
	return b ^ x[17], a, d ^ y[17], c, f ^ z[17], e
}

// mix is Blowfish's F.
func (s *state) mix(w uint32) uint32 {
	return (s[18+w>>24] + s[274+w>>16&255] ^ s[530+w>>8&255]) + s[786+w&255]
}

// initial is Blowfish's first state: the binary digits of pi after the point, by Machin's
// formula, pi = 16 arctan(1/5) - 4 arctan(1/239).
var initial = sync.OnceValue(func() (s *state) {
	const digits, guard = 32 * uint(len(s)), 64
	pi := new(big.Int).Lsh(big.NewInt(-3), digits+guard)
	for _, series := range [...]struct{ factor, x int64 }{{16, 5}, {-4, 239}} {
		power := new(big.Int).Lsh(big.NewInt(series.factor), digits+guard)
		power.Quo(power, big.NewInt(series.x))
		for n := int64(1); power.Sign() != 0; n += 2 {
			pi.Add(pi, new(big.Int).Quo(power, big.NewInt(n)))
			power.Quo(power, big.NewInt(-series.x*series.x))
		}
	}
	s = new(state)
	_, _ = binary.Decode(pi.Rsh(pi, guard).FillBytes(make([]byte, digits/8)), binary.BigEndian, s) // as many digits as fit
	return s
})
