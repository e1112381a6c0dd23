package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/rotator"
)

var errReset = errors.New("connection reset")

// ofStore is an error of the store, as the rotation wraps it.
func ofStore(err error) error { return fmt.Errorf("commit: %w", rotator.StoreError(err)) }

func TestWhatAnAttemptMeansForItsQueue(t *testing.T) {
	both := func(errs ...error) error { return fmt.Errorf("push: %w", errors.Join(errs...)) }
	tests := []struct {
		name   string
		result rotator.Result
		want   effect
	}{
		{"rotated", rotator.Result{Outcome: rotator.Rotated}, succeeded},
		{"finished", rotator.Result{Outcome: rotator.Finished}, succeeded},
		{"added", rotator.Result{Outcome: rotator.Added}, succeeded},
		{"claimed", rotator.Result{Outcome: rotator.Claimed, Err: errReset}, elsewhere},
		{"overtaken", rotator.Result{Outcome: rotator.Fresh, Err: errReset}, tenantOnly},
		{"refused", rotator.Result{Outcome: rotator.Refused, Err: both(rotator.ErrRefused)}, tenantOnly},
		{"stuck", rotator.Result{Outcome: rotator.Stuck, Err: errReset}, tenantOnly},
		{"after the window", rotator.Result{Outcome: rotator.Deferred, Err: errWindowOver}, tenantOnly},
		{"withdrawn", rotator.Result{Outcome: rotator.Ignored, Err: rotator.ErrAbsent}, tenantOnly},

		{"token refused", rotator.Result{Outcome: rotator.Failed, Err: both(rotator.ErrServerUnusable)}, serverDead},
		{"token refused in the push", rotator.Result{Outcome: rotator.Refused, Err: both(rotator.ErrServerUnusable, rotator.ErrRefused)}, serverDead},
		{"all users intercepted", rotator.Result{Outcome: rotator.Failed, Err: both(rotator.ErrIntercepted, rotator.ErrServerUnusable)}, serverDead},

		{"unknown user", rotator.Result{Outcome: rotator.Failed, Err: both(rotator.ErrUnknownUser, rotator.ErrRefused)}, tenantOnly},
		{"unknown user, asked for its hash", rotator.Result{Outcome: rotator.Unfinished, Err: both(rotator.ErrUnknownUser, rotator.ErrUnverifiable)}, tenantOnly},

		{"unverifiable", rotator.Result{Outcome: rotator.Unfinished, Err: both(rotator.ErrUnverifiable)}, doubtful},
		{"unverifiable after a refusal", rotator.Result{Outcome: rotator.Unfinished, Err: both(rotator.ErrRefused, rotator.ErrUnverifiable)}, doubtful},
		{"intercepted", rotator.Result{Outcome: rotator.Failed, Err: both(rotator.ErrIntercepted)}, doubtful},
		{"intercepted after a refusal", rotator.Result{Outcome: rotator.Unfinished, Err: both(rotator.ErrRefused, rotator.ErrIntercepted)}, doubtful},

		{"malformed", rotator.Result{Outcome: rotator.Failed, Err: both(rotator.ErrMalformed)}, tenantOnly},
		{"deleted", rotator.Result{Outcome: rotator.Failed, Err: ofStore(rotator.ErrAbsent)}, tenantOnly},

		{"store is down", rotator.Result{Outcome: rotator.Failed, Err: ofStore(rotator.ErrUnavailable)}, storeDown},
		{"store accepts no login", rotator.Result{Outcome: rotator.Failed, Err: ofStore(errors.Join(rotator.ErrForbidden, rotator.ErrUnavailable))}, storeDown},
		{"store refuses", rotator.Result{Outcome: rotator.Failed, Err: ofStore(rotator.ErrForbidden)}, storeFault},
		{"store fails", rotator.Result{Outcome: rotator.Unfinished, Err: ofStore(errReset)}, storeFault},
		{"conflicts", rotator.Result{Outcome: rotator.Failed, Err: ofStore(rotator.ErrConflict)}, storeFault},

		{"server fails", rotator.Result{Outcome: rotator.Failed, Err: both(rotator.ErrServerFailed)}, faulty},
		{"no answer", rotator.Result{Outcome: rotator.Unfinished, Err: errReset}, faulty},
		{"rate limit", rotator.Result{Outcome: rotator.Failed, Err: &rotator.RateLimitedError{Err: errReset}}, faulty},
		{"another password is held", rotator.Result{Outcome: rotator.Unfinished, Err: errReset}, faulty},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := classify(test.result); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestWeightsOfFaults(t *testing.T) {
	for err, want := range map[error]int{
		rotator.ErrUnverifiable: 2, rotator.ErrServerFailed: 2, rotator.ErrIntercepted: 2,
		errReset: 1, &rotator.RateLimitedError{Err: errReset}: 1,
	} {
		if got := weight(fmt.Errorf("look up: %w", err)); got != want {
			t.Errorf("%v weighs %d, want %d", err, got, want)
		}
	}
}

// inLane is a queue with these jobs, which observe sees.
func inLane(observe rotator.Observer, queue ...*job) *queue {
	r := &run{Sweep: &Sweep{Observe: observe, Canary: true, ClaimTTL: time.Minute}, clock: rotator.SystemClock{}, store: &storeHealth{}}
	return newQueue(r, "https://mail.example.com", 3, queue)
}

func jobOf(name string) *job {
	return &job{Decision: &Decision{Candidate: rotator.Candidate{Name: name}}}
}

func TestAServerIsGivenUpOnce(t *testing.T) {
	var told []rotator.Event
	l := inLane(func(e rotator.Event) { told = append(told, e) }, jobOf("waiting"))

	l.stop(errReset)
	l.stop(rotator.ErrServerUnusable)

	if len(told) != 1 || told[0].Name != rotator.ServerStopped || told[0].Count != 1 || !errors.Is(told[0].Err, errReset) {
		t.Errorf("told %+v", told)
	}
	if !errors.Is(l.stopped, errReset) || errors.Is(l.stopped, rotator.ErrServerUnusable) {
		t.Errorf("stopped by %v", l.stopped)
	}
}

func TestWhenGivingUpAServerIsTold(t *testing.T) {
	tests := []struct {
		name    string
		waiting []*job
		proven  int
		err     error
		want    bool
	}{
		{"others wait", []*job{jobOf("waiting")}, 1, errReset, true},
		{"nothing succeeded", nil, 0, errReset, true},
		{"the remaining ones failed, others succeeded", nil, 1, errReset, false},
		{"the token is refused", nil, 1, fmt.Errorf("status 403: %w", rotator.ErrServerUnusable), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			told := 0
			l := inLane(func(rotator.Event) { told++ }, test.waiting...)
			l.proven = test.proven

			l.stop(test.err)

			if (told == 1) != test.want || l.stopped == nil {
				t.Errorf("told %d times, stopped by %v", told, l.stopped)
			}
		})
	}
}

// In each case the queue has the jobs "first" to "last", and "again" is to be retried.
func TestWhichJobIsNext(t *testing.T) {
	unfinished := func(l *queue) { l.again[0].result.Outcome = rotator.Unfinished }
	tests := []struct {
		name    string
		arrange func(*queue)
		want    string
	}{
		{"the canary", func(*queue) {}, "first"},
		{"the server works", func(l *queue) { l.halfOpen, l.proven = false, 1 }, "first"},
		{"a fault", func(l *queue) { l.faults = 1 }, "last"},
		{"a refusal of the store", func(l *queue) { l.refusals = 1 }, "last"},
		{"a fault before an open lane", func(l *queue) { l.faults, l.halfOpen = 1, false }, "first"},
		{"half-finished, and the server works again", func(l *queue) { unfinished(l); l.halfOpen, l.proven = false, 1 }, "again"},
		{"half-finished, on trial", func(l *queue) { unfinished(l); l.faults, l.proven = 1, 1 }, "last"},
		{"half-finished, and nothing succeeded since", func(l *queue) { unfinished(l); l.halfOpen, l.proven, l.again[0].proven = false, 1, 1 }, "first"},
		{"not half-finished, and the server works again", func(l *queue) { l.again[0].result.Outcome = rotator.Failed; l.halfOpen, l.proven = false, 1 }, "first"},
		{"two half-finished, and no success", func(l *queue) { l.faults, l.torn = 1, maxTorn-1 }, "last"},
		{"three half-finished, and no success", func(l *queue) { l.faults, l.torn = 1, maxTorn }, "again"},
		{"three half-finished, after a success", func(l *queue) { l.faults, l.torn, l.proven = 1, maxTorn, 1 }, "last"},
		{"an empty queue", func(l *queue) { l.waiting, l.faults = nil, 1 }, "again"},
		{"three half-finished, and nothing to retry", func(l *queue) { l.faults, l.torn, l.again = 1, maxTorn, nil }, ""},
		{"nothing at all", func(l *queue) { l.waiting, l.again = nil, nil }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := inLane(nil, jobOf("first"), jobOf("second"), jobOf("last"))
			l.again = []*job{jobOf("again")}
			test.arrange(l)
			before, left := len(l.waiting)+len(l.again), ""

			if j := l.choose(); j != nil {
				left = j.Name
			}

			if after := len(l.waiting) + len(l.again); left != test.want || (before-after == 1) != (left != "") {
				t.Errorf("chose %q of %d, %d remain; want %q", left, before, after, test.want)
			}
			if gaveUp := l.stopped != nil; gaveUp != strings.Contains(test.name, "nothing to retry") {
				t.Errorf("given up: %v", l.stopped)
			}
		})
	}
}

// After the last place each probe is at another one, which differs between runs.
func TestProbesAreSpreadOverTheQueue(t *testing.T) {
	const n = 1000
	probes := func(begun int64) (places []int) {
		l := &queue{begun: time.UnixMilli(begun)}
		for range 6 {
			places = append(places, l.elsewhere(n))
		}
		return places
	}
	first, second := probes(1), probes(2)
	if first[0] != n-1 || second[0] != n-1 {
		t.Errorf("first at %d and %d", first[0], second[0])
	}
	if slices.Equal(first, second) || !slices.Equal(first, probes(1)) {
		t.Errorf("two runs probe %v and %v", first, second)
	}
	slices.Sort(first)
	if len(slices.Compact(first)) < 6 {
		t.Errorf("some places are probed twice: %v", first)
	}
}

// lostAnswer is a fault that is the server's or the tenant's.
var lostAnswer = rotator.Result{Outcome: rotator.Failed, Err: errReset}

func TestASuccessEndsATrialAndItsCounts(t *testing.T) {
	l, j := inLane(nil), jobOf("canary")
	l.faults, l.refusals, l.probes = 3, 2, 4

	l.settle(j, rotator.Result{Outcome: rotator.Rotated})

	if l.halfOpen || l.faults != 0 || l.refusals != 0 || l.probes != 0 || l.proven != 1 || !l.store.works.Load() {
		t.Errorf("got %+v", l)
	}
}

// While others succeed a tenant that fails again does not let the pauses grow.
func TestWhenAFaultIsATenantsOwn(t *testing.T) {
	for name, test := range map[string]struct {
		tries, proven int
		want          bool
	}{
		"its first":                       {0, 0, false},
		"its second, without a success":   {1, 2, false},
		"its second, others succeeded":    {1, 1, true},
		"its second, others had at first": {1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, j := inLane(nil), jobOf("bad")
			l.halfOpen, l.proven, j.tries, j.proven = false, 2, test.tries, test.proven

			l.settle(j, lostAnswer)

			if l.own != test.want || !l.halfOpen || !errors.Is(l.fault, errReset) || j.proven != l.proven {
				t.Errorf("own %t, half-open %t, fault %v, since success %d", l.own, l.halfOpen, l.fault, j.proven)
			}
		})
	}
}

func TestWhatAFaultChangesInTheQueue(t *testing.T) {
	for name, test := range map[string]struct {
		err              error
		halfOpen         bool
		faults, refusals int
		again            int
	}{
		"the store refuses the record": {ofStore(rotator.ErrForbidden), false, 0, 1, 0},
		"the store fails":              {ofStore(errReset), false, 0, 1, 1},
		"the hash proves nothing":      {rotator.ErrUnverifiable, true, 2, 0, 0},
		"the server answers 500":       {rotator.ErrServerFailed, true, 2, 0, 1},
		"no answer":                    {errReset, true, 1, 0, 1},
		"the user is unknown":          {rotator.ErrUnknownUser, false, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, j := inLane(nil), jobOf("bad")
			l.halfOpen, l.proven = false, 2

			l.settle(j, rotator.Result{Outcome: rotator.Failed, Err: test.err})

			if l.halfOpen != test.halfOpen || l.faults != test.faults || l.refusals != test.refusals || len(l.again) != test.again {
				t.Errorf("half-open %t, %d faults, %d refusals, %d to retry", l.halfOpen, l.faults, l.refusals, len(l.again))
			}
			if retried := len(l.again) > 0; retried && j.proven != l.proven {
				t.Errorf("its fault is noted after %d successes of %d", j.proven, l.proven)
			}
		})
	}
}

func TestWhenAQueueGivesNoJob(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		left    int
		ctx     context.Context
		arrange func(*queue)
		want    bool
	}{
		"a job waits":            {1, t.Context(), func(*queue) {}, true},
		"the round is over":      {0, t.Context(), func(*queue) {}, false},
		"a fault to pause for":   {1, t.Context(), func(l *queue) { l.fault = errReset }, false},
		"the server is given up": {1, t.Context(), func(l *queue) { l.stop(errReset) }, false},
		"the store is given up":  {1, t.Context(), func(l *queue) { l.store.giveUp(errReset) }, false},
		"the run is over":        {1, over, func(*queue) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := inLane(nil, jobOf("waiting"))
			test.arrange(l)

			left := test.left
			j := l.next(test.ctx, &left)

			if (j != nil) != test.want || test.left-left == 1 != test.want {
				t.Errorf("took %v, %d left", j, left)
			}
		})
	}
}

func TestWhatAnAttemptLeavesInTheStatus(t *testing.T) {
	_, withdrawn := rotator.ParseCredential("", rotator.Document{Fields: map[string]any{"withdrawn": "tenant 2 has the user"}}, rotator.Policy{})
	for name, test := range map[string]struct {
		result  rotator.Result
		fault   bool
		ignored bool
	}{
		"rotated":   {rotator.Result{Outcome: rotator.Rotated}, false, false},
		"refused":   {rotator.Result{Outcome: rotator.Refused, Err: rotator.ErrRefused}, false, false},
		"malformed": {rotator.Result{Outcome: rotator.Failed, Err: ofStore(rotator.ErrMalformed)}, true, false},
		"deleted":   {rotator.Result{Outcome: rotator.Failed, Err: ofStore(rotator.ErrAbsent)}, true, false},
		"withdrawn": {rotator.Result{Outcome: rotator.Ignored, Err: withdrawn}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var told rotator.Event
			l, j := inLane(func(e rotator.Event) { told = e }), jobOf("tenant")
			j.result = test.result

			l.report(j)

			if s := told.Status; (s.Fault != "") != test.fault || s.Ignored != test.ignored || told.Outcome != test.result.Outcome {
				t.Errorf("told %+v: %+v", told, s)
			}
		})
	}
}

func TestAJobThatIsNotBegunSaysWhy(t *testing.T) {
	var told []rotator.Event
	l := inLane(func(e rotator.Event) {
		if e.Name == rotator.TenantDone {
			told = append(told, e)
		}
	}, jobOf("waiting"))
	l.store.giveUp(rotator.ErrUnavailable)
	l.stop(errReset) // the reason of its own server comes first

	l.finish(t.Context())

	if len(told) != 1 || told[0].Outcome != rotator.Blocked || !errors.Is(told[0].Err, errReset) {
		t.Errorf("told %+v", told)
	}
}

func TestAFailureIsNotHiddenByTheEndOfTheRun(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	var told []rotator.Event
	tried, waiting := jobOf("tried"), jobOf("waiting")
	tried.attempted, tried.result = true, lostAnswer
	l := inLane(func(e rotator.Event) { told = append(told, e) }, waiting)
	l.again = []*job{tried}

	l.finish(over)

	if len(told) != 2 || told[0].Outcome != rotator.Deferred || told[1].Outcome != rotator.Failed {
		t.Errorf("told %+v", told)
	}
}

func TestAClaimIsWaitedForAsLongAsOneOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := inLane(nil)
		if !l.waitsForClaims() {
			t.Error("does not wait at all")
		}
		for _, step := range []struct {
			wait time.Duration
			want bool
		}{{l.ClaimTTL, true}, {time.Second, false}} {
			time.Sleep(step.wait)
			if got := l.waitsForClaims(); got != step.want {
				t.Errorf("after %s more: %t", step.wait, got)
			}
		}
	})
}
