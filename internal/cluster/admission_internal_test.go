package cluster

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/rotator"
)

func TestAdmission(t *testing.T) {
	for name, c := range map[string]struct {
		idle   int
		begun  int           // batches, before
		since  time.Duration // since they began
		admits bool
	}{
		"an idle core":                           {1, 0, 0, true},
		"no idle core":                           {0, 0, 0, false},
		"a new batch for the only core":          {1, 1, showsUse - 1, false},
		"a new batch for one of two cores":       {2, 1, 0, true},
		"an old batch that leaves the core idle": {1, 1, showsUse, true},
		"new batches for both cores":             {2, 2, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idle := 8
				a := newAdmission(rotator.SystemClock{}, func() int { return idle })
				for range c.begun {
					if !a.try() {
						t.Fatal("a batch was refused although cores are idle")
					}
				}
				time.Sleep(c.since)
				idle = c.idle

				if got := a.try(); got != c.admits {
					t.Errorf("admits: %v, want %v", got, c.admits)
				}
			})
		})
	}
}

func TestAdmissionWaitsInTurn(t *testing.T) {
	for name, c := range map[string]struct {
		answer time.Duration // until the first one calls next
		second time.Duration // until the second one may ask
	}{
		"an answer": {answerTime / 2, answerTime / 2},
		"no answer": {time.Hour, answerTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(rotator.SystemClock{}, func() int { return 1 })
				began, asked := time.Now(), make(chan time.Duration)
				var both sync.WaitGroup
				defer both.Wait()
				for range 2 {
					both.Go(func() {
						next, err := a.wait(t.Context())
						if err != nil {
							t.Error(err)
						}
						asked <- time.Since(began)
						time.Sleep(c.answer)
						next()
					})
				}

				if first, second := <-asked, <-asked; first != 0 || second != c.second {
					t.Errorf("they ask after %s and %s, want 0 and %s", first, second, c.second)
				}
			})
		})
	}
}

func TestAdmissionWaitsForACore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := newAdmission(rotator.SystemClock{}, func() int { return int(time.Since(began) / time.Minute) })

		next, err := a.wait(t.Context())

		if err != nil || time.Since(began) != time.Minute {
			t.Errorf("it waited for %s, %v; want a minute", time.Since(began), err)
		}
		next()
	})
}

func TestAdmissionEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := 0
		a := newAdmission(rotator.SystemClock{}, func() int { return idle })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		if _, err := a.wait(ctx); err == nil {
			t.Error("it returned without a core")
		}

		idle = 1
		next, err := a.wait(t.Context())
		if err != nil {
			t.Fatalf("the turn was not given back: %v", err)
		}
		next()
	})
}

func TestOneBatchOpensTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessions{clock: rotator.SystemClock{}, open: func(context.Context) (Session, error) {
			time.Sleep(time.Minute)
			return &login{}, nil
		}}
		idle := []int{s.idleCores()}

		go func() { _, _, _ = s.get(t.Context()) }()
		synctest.Wait()
		idle = append(idle, s.idleCores())
		time.Sleep(time.Minute)
		synctest.Wait()
		idle = append(idle, s.idleCores())

		if want := []int{1, 0, 2}; !slices.Equal(idle, want) {
			t.Errorf("idle cores before, while and after it opens: %v, want %v", idle, want)
		}
	})
}
