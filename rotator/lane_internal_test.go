package rotator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var errReset = errors.New("connection reset")

// ofStore is an error of the store, as the rotation wraps it.
func ofStore(err error) error { return fmt.Errorf("commit: %w", &storeError{err}) }

func TestWhatAnAttemptMeansForItsLane(t *testing.T) {
	both := func(errs ...error) error { return fmt.Errorf("push: %w", errors.Join(errs...)) }
	tests := []struct {
		name   string
		result Result
		want   verdict
	}{
		{"rotated", Result{Outcome: Rotated}, succeeded},
		{"finished", Result{Outcome: Finished}, succeeded},
		{"added", Result{Outcome: Added}, succeeded},
		{"claimed", Result{Outcome: Claimed, Err: errClaimed}, elsewhere},
		{"overtaken", Result{Outcome: Fresh, Err: errOvertaken}, tenantOnly},
		{"refused", Result{Outcome: Refused, Err: both(ErrRefused)}, tenantOnly},
		{"stuck", Result{Outcome: Stuck, Err: errStuck}, tenantOnly},
		{"after the window", Result{Outcome: Deferred, Err: errWindowOver}, tenantOnly},
		{"withdrawn", Result{Outcome: Ignored, Err: &withdrawnError{"another tenant"}}, tenantOnly},

		{"token refused", Result{Outcome: Failed, Err: both(ErrServerUnusable)}, serverDead},
		{"token refused in the push", Result{Outcome: Refused, Err: both(ErrServerUnusable, ErrRefused)}, serverDead},
		{"all users intercepted", Result{Outcome: Failed, Err: both(ErrIntercepted, ErrServerUnusable)}, serverDead},

		{"unknown user", Result{Outcome: Failed, Err: both(ErrUnknownUser, ErrRefused)}, tenantOnly},
		{"unknown user, asked for its hash", Result{Outcome: Unfinished, Err: both(ErrUnknownUser, ErrUnverifiable)}, tenantOnly},

		{"unverifiable", Result{Outcome: Unfinished, Err: both(ErrUnverifiable)}, doubtful},
		{"unverifiable after a refusal", Result{Outcome: Unfinished, Err: both(ErrRefused, ErrUnverifiable)}, doubtful},
		{"intercepted", Result{Outcome: Failed, Err: both(ErrIntercepted)}, doubtful},
		{"intercepted after a refusal", Result{Outcome: Unfinished, Err: both(ErrRefused, ErrIntercepted)}, doubtful},

		{"malformed", Result{Outcome: Failed, Err: both(ErrMalformed)}, tenantOnly},
		{"deleted", Result{Outcome: Failed, Err: ofStore(ErrAbsent)}, tenantOnly},

		{"store is down", Result{Outcome: Failed, Err: ofStore(ErrUnavailable)}, storeDown},
		{"store accepts no login", Result{Outcome: Failed, Err: ofStore(errors.Join(ErrForbidden, ErrUnavailable))}, storeDown},
		{"store refuses", Result{Outcome: Failed, Err: ofStore(ErrForbidden)}, storeFault},
		{"store fails", Result{Outcome: Unfinished, Err: ofStore(errReset)}, storeFault},
		{"conflicts", Result{Outcome: Failed, Err: ofStore(ErrConflict)}, storeFault},

		{"server fails", Result{Outcome: Failed, Err: both(ErrServerFailed)}, faulty},
		{"no answer", Result{Outcome: Unfinished, Err: errReset}, faulty},
		{"rate limit", Result{Outcome: Failed, Err: &RateLimitedError{Err: errReset}}, faulty},
		{"another password is held", Result{Outcome: Unfinished, Err: errNotHeld}, faulty},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := class(test.result); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestOutcomesThatARetryDoesNotChange(t *testing.T) {
	lasting := []Outcome{Fresh, Refused, Stuck, Deferred}
	for _, outcome := range Outcomes() {
		if got := (Result{Outcome: outcome, Err: errReset}).Permanent(); got != slices.Contains(lasting, outcome) {
			t.Errorf("%s: %t", outcome, got)
		}
	}
}

func TestErrorsThatARetryDoesNotChange(t *testing.T) {
	for err, want := range map[error]bool{
		ErrRefused: true, ErrAbsent: true, ErrMalformed: true, ErrOriginNotListed: true,
		errUnreadable: true, errNotAlone: true, errImproper: true,
		&DeletedError{Version: 3, Err: errReset}: true, &withdrawnError{"another tenant"}: true,

		ErrForbidden: false, ErrConflict: false, ErrUnavailable: false, ErrServerFailed: false,
		ErrIntercepted: false, ErrUnverifiable: false, errNotHeld: false, errRestored: false,
		errRetargeted: false, errNothingWritten: false, errReset: false,
	} {
		if got := (Result{Outcome: Unfinished, Err: fmt.Errorf("push: %w", err)}).Permanent(); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

func TestWeightsOfFaults(t *testing.T) {
	for err, want := range map[error]int{
		ErrUnverifiable: 2, ErrServerFailed: 2, ErrIntercepted: 2,
		errReset: 1, errNotHeld: 1, &RateLimitedError{Err: errReset}: 1,
	} {
		if got := weight(fmt.Errorf("look up: %w", err)); got != want {
			t.Errorf("%v weighs %d, want %d", err, got, want)
		}
	}
}

// inLane is a lane with these jobs, which observe sees.
func inLane(observe Observer, queue ...*job) *lane {
	r := &run{Sweep: &Sweep{Observe: observe, Canary: true, ClaimTTL: time.Minute}, clock: SystemClock{}, store: &storeHealth{}}
	return newLane(r, "https://mail.example.com", 3, queue)
}

func jobOf(name string) *job { return &job{Decision: &Decision{Candidate: Candidate{Name: name}}} }

func TestAServerIsGivenUpOnce(t *testing.T) {
	var told []Event
	l := inLane(func(e Event) { told = append(told, e) }, jobOf("waiting"))

	l.stop(errReset)
	l.stop(ErrServerUnusable)

	if len(told) != 1 || told[0].Name != ServerStopped || told[0].Count != 1 || !errors.Is(told[0].Err, errReset) {
		t.Errorf("told %+v", told)
	}
	if !errors.Is(l.stopped, errReset) || errors.Is(l.stopped, ErrServerUnusable) {
		t.Errorf("stopped by %v", l.stopped)
	}
}

func TestWhenGivingUpAServerIsTold(t *testing.T) {
	tests := []struct {
		name   string
		queue  []*job
		proven int
		err    error
		want   bool
	}{
		{"others wait", []*job{jobOf("waiting")}, 1, errReset, true},
		{"nothing succeeded", nil, 0, errReset, true},
		{"the remaining ones failed, others succeeded", nil, 1, errReset, false},
		{"the token is refused", nil, 1, fmt.Errorf("status 403: %w", ErrServerUnusable), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			told := 0
			l := inLane(func(Event) { told++ }, test.queue...)
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
	unfinished := func(l *lane) { l.again[0].result.Outcome = Unfinished }
	tests := []struct {
		name    string
		arrange func(*lane)
		want    string
	}{
		{"the canary", func(*lane) {}, "first"},
		{"the server works", func(l *lane) { l.trial, l.proven = false, 1 }, "first"},
		{"a fault", func(l *lane) { l.faults = 1 }, "last"},
		{"a refusal of the store", func(l *lane) { l.refusals = 1 }, "last"},
		{"a fault before an open lane", func(l *lane) { l.faults, l.trial = 1, false }, "first"},
		{"half-finished, and the server works again", func(l *lane) { unfinished(l); l.trial, l.proven = false, 1 }, "again"},
		{"half-finished, on trial", func(l *lane) { unfinished(l); l.faults, l.proven = 1, 1 }, "last"},
		{"half-finished, and nothing succeeded since", func(l *lane) { unfinished(l); l.trial, l.proven, l.again[0].proven = false, 1, 1 }, "first"},
		{"not half-finished, and the server works again", func(l *lane) { l.again[0].result.Outcome = Failed; l.trial, l.proven = false, 1 }, "first"},
		{"two half-finished, and no success", func(l *lane) { l.faults, l.torn = 1, maxTorn-1 }, "last"},
		{"three half-finished, and no success", func(l *lane) { l.faults, l.torn = 1, maxTorn }, "again"},
		{"three half-finished, after a success", func(l *lane) { l.faults, l.torn, l.proven = 1, maxTorn, 1 }, "last"},
		{"an empty queue", func(l *lane) { l.queue, l.faults = nil, 1 }, "again"},
		{"three half-finished, and nothing to retry", func(l *lane) { l.faults, l.torn, l.again = 1, maxTorn, nil }, ""},
		{"nothing at all", func(l *lane) { l.queue, l.again = nil, nil }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := inLane(nil, jobOf("first"), jobOf("second"), jobOf("last"))
			l.again = []*job{jobOf("again")}
			test.arrange(l)
			before, left := len(l.queue)+len(l.again), ""

			if j := l.choose(); j != nil {
				left = j.Name
			}

			if after := len(l.queue) + len(l.again); left != test.want || (before-after == 1) != (left != "") {
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
		l := &lane{begun: time.UnixMilli(begun)}
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
