package readers

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

// fleet is how many tenants are rotated in a loop.
const fleet = 200

var (
	reads   = flag.Int("reads", 250, "how many logins TestReadersWhileAllIsRotated makes, of all languages together")
	atATime = flag.Int("rotations", 2, "how many tenants are rotated at a time")
	hashing = flag.Duration("hashing", 50*time.Millisecond, "what Mailu takes to set a password")
	gap     = flag.Duration("gap", 50*time.Millisecond, "for how long, at least, Mailu has a password that is not current yet")
)

// login is one read: which password was accepted, and after how long.
type login struct {
	language, which string
	took            time.Duration
}

// Every read ends in an accepted login within the bound, while the real program rotates
// every tenant again and again.
func TestReadersWhileAllIsRotated(t *testing.T) {
	s := newStage(t, theKit, *hashing)
	s.mailu.Inject(mailutest.Fault{Kind: mailutest.DelayAfter, Method: "PATCH", Delay: *gap})
	credentials := s.readerRole(t, "reader", "1h")
	tenants := make([]*tenant, fleet)
	for i := range tenants {
		tenants[i] = s.add(t)
	}
	stop := s.rotateAll(t)

	logins := s.logInAll(t, credentials, tenants)

	runs, err := stop()
	must(t, err)
	rotations, refused := 0, 0
	for _, a := range tenants {
		sets := s.mailu.PasswordSets(a.user)
		rotations += sets
		if sets == 0 {
			t.Errorf("%s was at rest throughout", a.user)
		}
		for _, accepted := range s.mailu.Logins(a.user) {
			if !accepted {
				refused++
			}
		}
	}
	for _, l := range logins {
		if l.which != "current" && l.which != "pending" || l.took > bound {
			t.Errorf("%s: %s after %s", l.language, l.which, l.took)
		}
	}
	t.Logf("%d tenants, %d rotations in %d runs; %d logins refused in between\n%s", fleet, rotations, runs, refused, table(logins))
}

// rotateAll has the real program rotate every tenant, again and again, until stop, which
// returns how often.
func (s *stage) rotateAll(t *testing.T) (stop func() (runs int, err error)) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	runs := 0
	var failure error
	go func() {
		defer close(ended)
		for ctx.Err() == nil && failure == nil {
			// Not ended in its middle: a run that is over has rotated everybody.
			_, failure = s.program(t.Context(), "--run-now", "--yes")
			runs++
		}
	}()
	return func() (int, error) {
		cancel()
		<-ended
		return runs, failure
	}
}

// logInAll shares the reads out to one reader of each language. They log in one at a
// time, or it would measure how they wait for each other.
func (s *stage) logInAll(t *testing.T, credentials string, tenants []*tenant) (logins []login) {
	turn := make(chan struct{}, 1)
	var mu sync.Mutex
	var all sync.WaitGroup
	for language := range s.readers {
		r := s.start(t, language, s.environment(credentials)...)
		all.Go(func() {
			for n := range *reads / len(s.readers) {
				turn <- struct{}{}
				which, took, err := r.ask(tenants[n*89%fleet].id) // not in the order of the rotation
				<-turn
				if err != nil {
					which = err.Error()
				}
				mu.Lock()
				logins = append(logins, login{language, which, took})
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return logins
}

// table is what docs/readers.md has: for each language how many logins there were, how
// many with the pending password, and how long they took.
func table(logins []login) string {
	by := map[string][]login{}
	for _, l := range logins {
		by[l.language] = append(by[l.language], l)
		by["all"] = append(by["all"], l)
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| reader | logins | with the pending password | median | 99th percentile | slowest | slowest with the pending one |")
	fmt.Fprintln(&b, "| --- | --- | --- | --- | --- | --- | --- |")
	for _, language := range slices.Sorted(maps.Keys(by)) {
		group := by[language]
		slices.SortFunc(group, func(a, b login) int { return int(a.took - b.took) })
		pending := slices.DeleteFunc(slices.Clone(group), func(l login) bool { return l.which != "pending" })
		slowest := "–"
		if len(pending) > 0 {
			slowest = milliseconds(pending[len(pending)-1])
		}
		fmt.Fprintf(&b, "| %s | %d | %d (%.1f %%) | %s | %s | %s | %s |\n", language, len(group), len(pending), 100*float64(len(pending))/float64(len(group)),
			milliseconds(group[len(group)/2]), milliseconds(group[len(group)*99/100]), milliseconds(group[len(group)-1]), slowest)
	}
	return b.String()
}

func milliseconds(l login) string { return fmt.Sprintf("%d ms", l.took.Milliseconds()) }
