package cluster

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func ring(t *testing.T, versions ...crypto.KeyVersion) *crypto.Keyring {
	t.Helper()
	keys := map[crypto.KeyVersion][]byte{}
	for _, v := range versions {
		keys[v] = bytes.Repeat([]byte{byte(v)}, crypto.KeySize)
	}
	all, err := crypto.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBatchIsHeldByARecentRenewal(t *testing.T) {
	clock := rotatortest.NewClock(time.Now())
	d := &delivery{cluster: &Cluster{Config: Config{Clock: clock, AckWait: 10 * time.Second}}, renewed: clock.Now()}

	clock.Advance(7999 * time.Millisecond)
	if !d.held() {
		t.Error("it is not held, although its renewal is recent")
	}
	d.heard(clock.Now())
	clock.Advance(5 * time.Second)
	asked := clock.Now()
	clock.Advance(2 * time.Second)
	d.heard(asked)
	clock.Advance(5 * time.Second)
	if !d.held() {
		t.Error("it is not held, although it was renewed 7 seconds ago")
	}
	clock.Advance(time.Second) // 8 seconds after the renewal was asked for
	d.heard(clock.Now())
	if d.held() {
		t.Error("it was regained")
	}
	d.end(sweep.ErrWithdrawn)
	if err := d.over(); !errors.Is(err, errLate) {
		t.Errorf("error %v, want the first reason", err)
	}
}

func TestMessageUnderAnotherKey(t *testing.T) {
	for name, c := range map[string]struct {
		sealed, opened []crypto.KeyVersion
		want           error
		not            error
	}{
		"the same":    {[]crypto.KeyVersion{2}, []crypto.KeyVersion{2}, nil, nil},
		"an older":    {[]crypto.KeyVersion{1}, []crypto.KeyVersion{1, 2}, nil, nil},
		"a newer":     {[]crypto.KeyVersion{3}, []crypto.KeyVersion{1, 2}, crypto.ErrNoKey, errForeign},
		"one trimmed": {[]crypto.KeyVersion{1}, []crypto.KeyVersion{2, 3}, errForeign, nil},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := sealer{ring(t, c.sealed...), c.sealed[0]}.seal("s", task{Run: "all-1"})
			if err != nil {
				t.Fatal(err)
			}
			var read task

			s, err := unseal(ring(t, c.opened...), "s", data, &read)

			if !errors.Is(err, c.want) || c.not != nil && errors.Is(err, c.not) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if c.want == nil && (read.Run != "all-1" || s.version != c.sealed[0]) {
				t.Errorf("read %+v under version %d", read, s.version)
			}
		})
	}
}

func TestRunIsComplete(t *testing.T) {
	done, begun, waiting := &batch{done: true, begun: true}, &batch{begun: true}, &batch{}
	for name, c := range map[string]struct {
		follower follower
		want     bool
	}{
		"not planned":                    {follower{}, false},
		"planned, nothing to do":         {follower{planned: true}, true},
		"all done":                       {follower{planned: true, batches: []*batch{done, done}}, true},
		"all done, not planned":          {follower{batches: []*batch{done}}, false},
		"one begun":                      {follower{planned: true, batches: []*batch{done, begun}}, false},
		"one waits":                      {follower{planned: true, batches: []*batch{done, waiting}}, false},
		"withdrawn, one waits":           {follower{planned: true, withdrawn: true, batches: []*batch{done, waiting}}, true},
		"withdrawn, one begun":           {follower{planned: true, withdrawn: true, batches: []*batch{begun, waiting}}, false},
		"withdrawn, reports are behind":  {follower{planned: true, withdrawn: true, behind: true, batches: []*batch{waiting}}, false},
		"done, other reports are behind": {follower{planned: true, behind: true, batches: []*batch{done}}, true},
		"only the plan":                  {follower{planned: true, onlyPlan: true, batches: []*batch{waiting}}, true},
		"only the plan, not planned":     {follower{onlyPlan: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.follower.complete(); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// login is a session that notes its end.
type login struct{ closed int }

func (*login) Keys() *crypto.Keyring { return nil }

func (*login) Idle() int { return 2 }

func (*login) Work(context.Context, sweep.Batch, func() bool, func(sweep.Settled)) error { return nil }

func (l *login) Close() { l.closed++ }

func TestSessions(t *testing.T) {
	ctx := t.Context()
	clock := rotatortest.NewClock(time.Now())
	var logins []*login
	s := &sessions{clock: clock, open: func(context.Context) (Session, error) {
		logins = append(logins, &login{})
		return logins[len(logins)-1], nil
	}}
	use := func() func() {
		t.Helper()
		_, release, err := s.get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	want := func(opened int, closed ...int) {
		t.Helper()
		if len(logins) != opened {
			t.Fatalf("%d sessions, want %d", len(logins), opened)
		}
		for i, n := range closed {
			if logins[i].closed != n {
				t.Errorf("session %d was closed %d times, want %d", i, logins[i].closed, n)
			}
		}
	}

	first, second := use(), use()
	want(1, 0) // shared
	first()
	clock.Advance(time.Hour)
	s.endIdle()
	want(1, 0) // in use
	second()
	clock.Advance(presenceTTL / 4)
	s.endIdle()
	want(1, 0) // not idle for long
	clock.Advance(time.Second)
	s.endIdle()
	want(1, 1)

	third := use()
	s.renew()
	fourth := use()
	want(3, 1, 0, 0) // the old one goes on
	third()
	want(3, 1, 1, 0)
	fourth()
	s.renew()
	s.renew()
	want(3, 1, 1, 1)
}

// delivered is a message of the first delivery.
type delivered struct {
	jetstream.Msg
	pending uint64 // messages that follow it
	data    []byte
}

func (d delivered) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{NumDelivered: 1, NumPending: d.pending}, nil
}

func (delivered) Subject() string { return "s" }

func (d delivered) Data() []byte { return d.data }

func TestFollowerKnowsWhatItHasNotRead(t *testing.T) {
	f := &follower{Cluster: &Cluster{Config: Config{Report: func(error) {}}}, keys: ring(t, 1)}
	for _, pending := range []uint64{0, 3, 0} {
		if err := f.handle(delivered{pending: pending}); err != nil || f.behind != (pending > 0) {
			t.Errorf("with %d pending: behind is %v, error %v", pending, f.behind, err)
		}
	}
}

func TestUnpublishedResultEndsTheBatch(t *testing.T) {
	clock := rotatortest.NewClock(time.Now())
	d := &delivery{
		cluster: &Cluster{Config: Config{Clock: clock, AckWait: time.Minute}}, renewed: clock.Now(),
		sealer: sealer{ring(t, 1), 2}, message: delivered{}, // a key that it does not hold
	}

	d.settle(t.Context(), sweep.Settled{})

	if err := d.over(); !errors.Is(err, crypto.ErrNoKey) {
		t.Errorf("error %v, want why it was not published", err)
	}
}

// failing is a bucket whose first writes fail.
type failing struct {
	jetstream.KeyValue
	left int
}

func (f *failing) Put(context.Context, string, []byte) (uint64, error) {
	if f.left--; f.left >= 0 {
		return 0, jetstream.ErrNoStreamResponse
	}
	return 1, nil
}

func TestStopIsWrittenBeforeTheBatchEnds(t *testing.T) {
	for name, c := range map[string]struct {
		failures int
		want     error
	}{
		"at once":               {0, nil},
		"once NATS answers":     {7, nil},
		"NATS answers too late": {20, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			clock := rotatortest.NewClock(time.Now())
			d := &delivery{
				cluster: &Cluster{Config: Config{Clock: clock, AckWait: 10 * time.Second}, store: store{runs: &failing{left: c.failures}}},
				renewed: clock.Now(), sealer: sealer{ring(t, 1), 1},
			}

			if err := d.giveUp(t.Context(), errors.New("403")); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestBatchIsFollowedOnce(t *testing.T) {
	f := &follower{}

	f.add(task{ID: "1.0"})
	f.add(task{ID: "1.1"})
	f.add(task{ID: "1.0"})

	if len(f.batches) != 2 || f.batches[0] != f.byID["1.0"] {
		t.Errorf("%d batches, want 2", len(f.batches))
	}
}

func TestPlannerAwaitsItsOwnBatches(t *testing.T) {
	for name, planner := range map[string]bool{"planner": true, "terminal": false} {
		t.Run(name, func(t *testing.T) {
			f := &follower{Cluster: &Cluster{}, keys: ring(t, 1), planner: planner}
			data, err := sealer{f.keys, 1}.seal("s", report{Queued: &task{ID: "1.0"}})
			if err != nil {
				t.Fatal(err)
			}

			if err := f.handle(delivered{data: data}); err != nil {
				t.Fatal(err)
			}

			if follows := len(f.batches) == 1; follows == planner {
				t.Errorf("it follows %d batches of another planner", len(f.batches))
			}
		})
	}
}

func TestErrorsThatMeanNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"a timeout":               {context.DeadlineExceeded, true},
		"no leader":               {jetstream.ErrNoStreamResponse, true},
		"JetStream starts":        {&jetstream.APIError{Code: 503, ErrorCode: 10008}, true},
		"a stream that is gone":   {jetstream.ErrStreamNotFound, false},
		"a request that is wrong": {&jetstream.APIError{Code: 400}, false},
		"an interrupt":            {context.Canceled, false},
	} {
		if got := errors.Is(explain(c.err), ErrUnreachable); got != c.want || !errors.Is(explain(c.err), c.err) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
