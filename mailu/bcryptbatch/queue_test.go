package bcryptbatch

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func hashOf(t testing.TB, password string, rounds int) []byte {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), rounds)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func add(t testing.TB, q *Queue, hash []byte, password string) *Comparison {
	t.Helper()
	c, err := q.Add(hash, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// digestsInLoop fails the test unless the loop itself, which defers mismatches to
// x/crypto, matches each password.
func digestsInLoop(t *testing.T, batch ...*Comparison) {
	t.Helper()
	match := compare(batch)
	for n := range batch {
		if !match[n] {
			t.Errorf("the loop computed another digest in lane %d of %d", n, len(batch))
		}
	}
}

// The password U*U and its neighbours are of crypt_blowfish's own tests (wrapper.c).
func TestKnownAnswers(t *testing.T) {
	var q Queue
	digestsInLoop(t,
		add(t, &q, []byte("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"), "U*U"),
		add(t, &q, []byte("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"), "U*U*"),
		add(t, &q, []byte("$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"), "U*U*U"))
	digestsInLoop(t,
		add(t, &q, []byte("$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"), ""),
		add(t, &q, []byte("$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"),
			"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"))
}

func FuzzTheLoopComputesAsXCrypto(f *testing.F) {
	f.Add("", "a", "\x00")
	f.Add("U*U", "\xff\xa3345", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var q Queue
		var batch []*Comparison
		for _, password := range []string{a, b, c} {
			password = password[:min(len(password), 72)] // x/crypto makes no hash of a longer one
			batch = append(batch, add(t, &q, hashOf(t, password, bcrypt.MinCost), password))
		}
		digestsInLoop(t, batch...)
		digestsInLoop(t, batch[1:]...)
	})
}

func TestEachGetsItsOwnResult(t *testing.T) {
	type entry struct {
		hash     []byte
		password string
		want     error
	}
	var entries []entry
	for n := range 60 {
		password := fmt.Sprintf("password %d", n)
		e := entry{hashOf(t, password, bcrypt.MinCost+n%7/5), password, nil} // two kinds of rounds
		if n%4 == 0 {
			e.password, e.want = e.password+"!", bcrypt.ErrMismatchedHashAndPassword
		}
		entries = append(entries, e)
	}
	var q Queue
	var all sync.WaitGroup
	core := make(chan struct{}, 2)
	for _, e := range entries {
		all.Go(func() {
			time.Sleep(rand.N(50 * time.Millisecond)) // some alone, most together
			c := add(t, &q, e.hash, e.password)
			core <- struct{}{}
			c.Compute()
			<-core
			if err := c.Result(); !errors.Is(err, e.want) || (err == nil) != (e.want == nil) {
				t.Errorf("%s: %v, want %v", e.password, err, e.want)
			}
		})
	}
	all.Wait()
	if len(q.waiting) != 0 {
		t.Errorf("%d comparisons were left in the queue", len(q.waiting))
	}
}

func TestAFaultOfTheLoopRefusesNoPassword(t *testing.T) {
	var q Queue
	one, two := add(t, &q, hashOf(t, "one", 4), "one"), add(t, &q, hashOf(t, "two", 4), "two")
	two.salt = make([]byte, 16) // the loop computes another hash with it

	one.Compute()

	if err := errors.Join(one.Result(), two.Result()); err != nil {
		t.Error(err)
	}
}

func TestThreeOfEqualRoundsAreABatch(t *testing.T) {
	four, five := hashOf(t, "x", 4), hashOf(t, "x", 5)
	var q Queue
	a, b, c := add(t, &q, four, "x"), add(t, &q, five, "x"), add(t, &q, four, "x")
	d, e, f := add(t, &q, four, "x"), add(t, &q, four, "x"), add(t, &q, five, "x")
	name := map[*Comparison]string{a: "a", b: "b", c: "c", d: "d", e: "e", f: "f"}
	for _, step := range []struct {
		of   *Comparison
		want string
	}{
		{e, "eac"}, // its own first, then the oldest
		{a, "bf"},  // another core has it, so the others' turn has come
		{d, "d"},
		{b, ""},
	} {
		got := ""
		for _, taken := range q.next(step.of) {
			got += name[taken]
		}
		if got != step.want {
			t.Errorf("%s took %q, want %q", name[step.of], got, step.want)
		}
	}
}

func TestPasswordsAreWiped(t *testing.T) {
	var q Queue
	hash := hashOf(t, "secret", 4)
	for _, together := range []int{1, 2, 3} {
		passwords := make([][]byte, together)
		var last *Comparison
		for n := range passwords {
			passwords[n] = append(make([]byte, 0, 16), "secret"...)
			var err error
			if last, err = q.Add(hash, passwords[n]); err != nil {
				t.Fatal(err)
			}
		}
		last.Compute()
		for n, password := range passwords {
			if !bytes.Equal(password, make([]byte, 6)) {
				t.Errorf("%d together: password %d is still there", together, n)
			}
		}
	}
}

func TestOtherFormsAreRefused(t *testing.T) {
	good := string(hashOf(t, "x", 4))
	for _, hash := range []string{"", "x", good[:59], good + "x", "$1$" + good[3:], good[:4] + "xx" + good[6:], good[:7] + "!" + good[8:]} {
		if _, err := new(Queue).Add([]byte(hash), nil); err == nil {
			t.Errorf("%q was accepted", hash)
		}
	}
}

// BenchmarkCompare: go test ./mailu/bcryptbatch -run '^$' -bench . -cpu 1
func BenchmarkCompare(b *testing.B) {
	for together := 1; together <= width; together++ {
		b.Run(fmt.Sprintf("%d together", together), func(b *testing.B) {
			hash := hashOf(b, "a password", 12)
			var q Queue
			for b.Loop() {
				var last *Comparison
				for range together {
					last = add(b, &q, hash, "a password")
				}
				last.Compute()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N*together), "ms/hash")
		})
	}
}
