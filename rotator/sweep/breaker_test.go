package sweep_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestPausesGrowWhileAServerFails(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.fault = failing(rotatortest.ErrLost, 1, 2, 3)

		f.run(t, sweep.Selection{})

		pauses := f.told(rotator.ServerPaused)
		for i, pause := range pauses {
			middle := min(time.Second<<i, time.Minute)
			if pause.Wait < middle/2 || pause.Wait > middle*3/2 || !errors.Is(pause.Err, rotatortest.ErrLost) {
				t.Errorf("pause %d is %s for %v", i, pause.Wait, pause.Err)
			}
		}
		if len(pauses) != 8 { // between three tries of three tenants
			t.Errorf("%d pauses", len(pauses))
		}
	})
}

func TestATenantIsTriedThreeTimes(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.fault = failing(rotatortest.ErrLost, 2)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated, 2 failed, 3 rotated")
		if tries := len(f.of(rotatortest.OpKnows, 2)); tries != 3 {
			t.Errorf("%d tries", tries)
		}
	})
}

// Whatever the number of tenants, nine of them reach a server that answers nothing,
// once each.
func TestNineFaultsInARowEndAServersRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		for n := range 30 {
			f.add(serverA, n)
		}
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpKnows {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		if failed, blocked := report.Count(rotator.Failed), report.Count(rotator.Blocked); failed != 9 || blocked != 21 {
			t.Errorf("%d failed, %d blocked", failed, blocked)
		}
		if stopped := f.told(rotator.ServerStopped); len(stopped) != 1 || stopped[0].Count != 21 {
			t.Errorf("stopped %v", stopped)
		}
	})
}

func TestAServerThatAnswersAgainIsUsedAtOnce(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.User != "" && time.Since(f.began) < 10*time.Second {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return slow(time.Second)(c)
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated, 2 rotated, 3 rotated, 4 rotated")
		pushed := f.of(rotatortest.OpSetPassword)
		if canary := pushed[0].at; canary > 10*time.Second+time.Minute/2 || pushed[1].at != canary+time.Second {
			t.Errorf("the canary succeeded after %s, and the next was begun after %s", canary+time.Second, pushed[1].at)
		}
	})
}

func TestAFaultPutsAnOpenServerBackOnTrial(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if now := time.Since(f.began); c.Op == rotatortest.OpKnows && now >= time.Second && now < 3*time.Second {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return slow(time.Second)(c)
		}

		report := f.run(t, sweep.Selection{})

		asked := f.of(rotatortest.OpKnows)
		for i, one := range asked[1:] { // the first fault comes at one second
			if one.at > time.Second && one.at < 3*time.Second && one.at == asked[i].at {
				t.Errorf("two at a time at %s", one.at)
			}
		}
		if report.Failures() > 1 || len(f.told(rotator.ServerPaused)) < 2 {
			t.Errorf("asked %v, %d failures", asked, report.Failures())
		}
	})
}

func TestPausesBeginAnewAfterASuccess(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.sweep.Workers = 1
		var calls atomic.Int32
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpKnows && calls.Add(1) != 3 { // of tenant 1 the third succeeds
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		f.run(t, sweep.Selection{})

		if pauses := f.told(rotator.ServerPaused); len(pauses) < 3 || pauses[2].Wait > 1500*time.Millisecond {
			t.Errorf("got %v", pauses)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.User != "" && time.Since(f.began) < 4*time.Minute {
				return rotatortest.Fault{Before: &rotator.RateLimitedError{After: 4 * time.Minute, Err: errors.New("status 429")}}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated, 2 rotated")
		if asked := f.of(rotatortest.OpKnows); asked[1].at != 4*time.Minute {
			t.Errorf("asked again after %s", asked[1].at)
		}
	})
}

func TestARateLimitedPushIsNotFollowedByAQuestion(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword && len(f.of(rotatortest.OpSetPassword)) == 1 {
				return rotatortest.Fault{Before: &rotator.RateLimitedError{After: time.Minute, Err: errors.New("status 429")}}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 finished")
		if asked := f.of(rotatortest.OpVerify); asked[0].at < time.Minute || f.made != 1 {
			t.Errorf("asked after %s, %d passwords made", asked[0].at, f.made)
		}
	})
}

func TestATooLongRetryAfterLeavesTheServerForTheNextRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 3)
		f.add(serverB, 2)
		f.fault = failing(&rotator.RateLimitedError{After: time.Hour, Err: errors.New("status 429")}, 1, 3)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 failed, 2 rotated, 3 blocked")
		if len(f.of(rotatortest.OpKnows, 1, 3)) != 1 || time.Since(f.began) != 0 {
			t.Errorf("%d calls in %s", len(f.of(rotatortest.OpKnows, 1, 3)), time.Since(f.began))
		}
		if reason := report.Rows[2].Reason; !strings.Contains(reason, "1h0m0s") || !strings.Contains(reason, "429") {
			t.Errorf("tenant 3: %s", reason)
		}
	})
}

func TestAPauseIsAsLongAsTheBackOffAndTheServerSay(t *testing.T) {
	for after, least := range map[time.Duration]time.Duration{time.Millisecond: 500 * time.Millisecond, 5 * time.Minute: 5 * time.Minute} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1, 2)
			f.fault = once(rotatortest.OpKnows, 1, rotatortest.Fault{Before: &rotator.RateLimitedError{After: after, Err: errors.New("status 429")}}, func() {})

			mustEnd(t, f.run(t, sweep.Selection{}), "1 rotated, 2 rotated")

			if paused := f.told(rotator.ServerPaused); len(paused) != 1 || paused[0].Wait < least {
				t.Errorf("asked for %s, paused %v", after, paused)
			}
		})
	}
}

func TestAServerThatAnsweredIsPausedForBrieflyAgain(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(10)...)
		f.mailu.Width = 1
		var asked atomic.Int64
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpKnows {
				if n := asked.Add(1); n <= 3 || n == 5 {
					return rotatortest.Fault{Before: rotatortest.ErrLost}
				}
			}
			return rotatortest.Fault{}
		}

		f.run(t, sweep.Selection{})

		paused := f.told(rotator.ServerPaused)
		if len(paused) != 4 || paused[2].Wait < 2*time.Second || paused[3].Wait > 1500*time.Millisecond {
			t.Errorf("paused %v", paused)
		}
	})
}

func TestNothingMoreIsSentToAServerThatRefusesTheToken(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 3, 5)
		f.add(serverB, 2)
		f.fault = failing(fmt.Errorf("status 403: %w", rotator.ErrServerUnusable), 1, 3, 5)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 failed, 2 rotated, 3 blocked, 5 blocked")
		if sent := f.of(rotatortest.OpKnows, 1, 3, 5); len(sent) != 1 || len(f.told(rotator.ServerStopped)) != 1 {
			t.Errorf("sent %v", sent)
		}
	})
}

func TestOneUserThatCannotBeVerifiedHoldsNobodyElseBack(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpVerify && c.User == userOf(1) {
				return rotatortest.Fault{Before: rotator.ErrUnverifiable}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 unfinished, 2 rotated, 3 rotated")
		if pushes := len(f.of(rotatortest.OpSetPassword, 1)); pushes != 1 {
			t.Errorf("pushed %d times", pushes)
		}
	})
}

func TestATokenRefusedInThePushIsNotFollowedByAQuestion(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				return rotatortest.Fault{Before: rotator.ErrServerUnusable}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 unfinished, 2 blocked")
		if len(f.of(rotatortest.OpSetPassword)) != 1 || len(f.of(rotatortest.OpVerify)) != 0 {
			t.Errorf("sent %v and %v", f.of(rotatortest.OpSetPassword), f.of(rotatortest.OpVerify))
		}
	})
}

func TestAStoreThatForbidsAllWritingIsAskedFiveTimes(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		for n := range 20 {
			f.add(serverA, n)
		}
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite {
				return rotatortest.Fault{Before: fmt.Errorf("write: %w", rotator.ErrForbidden)}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		if failed, blocked := report.Count(rotator.Failed), report.Count(rotator.Blocked); failed != 5 || blocked != 15 {
			t.Errorf("%d failed, %d blocked", failed, blocked)
		}
		if len(f.of(rotatortest.OpWrite)) != 5 || f.mailu.Sets() != 0 {
			t.Errorf("%d writes, %d pushes", len(f.of(rotatortest.OpWrite)), f.mailu.Sets())
		}
		if n := len(f.told(rotator.ServerStopped)) + len(f.told(rotator.ServerPaused)); n != 0 {
			t.Errorf("a fault of the store is told %d times as one of the server", n)
		}
	})
}

func TestARecordDeletedMidwayIsLeftAlone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite && c.Tenant == tenant(1) {
				f.store.Delete(string(tenant(1)))
				return rotatortest.Fault{Before: rotator.ErrConflict}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		if report.Rows[1].Outcome != rotator.Rotated || !report.Rows[0].Outcome.Failure() {
			t.Errorf("got %v", report.Rows)
		}
		if len(f.of(rotatortest.OpWrite, 1)) != 1 || len(f.of(rotatortest.OpSetPassword, 1)) != 0 {
			t.Errorf("%d writes", len(f.of(rotatortest.OpWrite, 1)))
		}
	})
}
