package sweep

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mailu-rotator/rotator"
)

const (
	// lapseMargin is how long after a claim's end it is checked again: clocks differ by
	// less than minSkew.
	lapseMargin = rotator.MinSkew + time.Second
	// lookPause is the pause after a check that finished nothing; it doubles.
	lookPause = 10 * time.Minute
	// maxLooks bounds how often one pending password is checked between sweeps. Each
	// time may cost one of its take-overs (maxTakeovers), and the sweeps need some too.
	maxLooks = 3
)

// look is about a half-finished rotation that is checked again between sweeps. Until a
// process finishes it, readers of the record may hold a password that Mailu no longer
// accepts, so a dead owner's rotation must not wait for the next sweep.
type look struct {
	begun time.Time // when the pending password was created
	at    time.Time
	done  int // checks that left it half-finished
}

// noteLapses schedules the next check of half-finished rotations. seenTo: the run that
// just ended would have finished them.
func (a *scheduler) noteLapses(seenTo bool) {
	next := &a.next[recoverTask].start
	*next = time.Time{}
	if a.by.Pending == nil {
		return
	}
	now, before := a.clock.Now(), a.looks
	a.looks = map[string]*look{}
	for _, s := range a.by.Pending() {
		l := before[s.Tenant]
		if l == nil || !l.begun.Equal(s.Begun) {
			l = &look{begun: s.Begun}
		}
		a.looks[s.Tenant] = l
		live := s.Pending.Live(now)
		if seenTo && !live {
			l.at = now.Add(lookPause << l.done)
			l.done++
		}
		if l.done >= maxLooks || s.Pending.Takeovers >= maxLooks {
			continue // the sweeps will retry it
		}
		if live {
			l.at = later(s.Pending.Until.Add(lapseMargin), l.at)
		}
		l.at = later(l.at, now).Add(rand.N(lapseMargin)) // several hosts may wait for it
		if next.IsZero() || l.at.Before(*next) {
			*next = l.at
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// look reads the tenants whose claims have expired since they were seen. Only if one of
// them is still half-finished it starts a recovery, which reads the fleet.
func (a *scheduler) look(ctx context.Context) {
	now := a.clock.Now()
	var due []rotator.TenantID
	for tenant, l := range a.looks {
		if !l.at.IsZero() && !l.at.After(now) {
			due = append(due, rotator.TenantID(tenant))
			l.at = now.Add(time.Minute) // at the earliest, whatever the result
		}
	}
	lapsed, err := a.by.Lapsed(ctx, due)
	if err == nil && lapsed {
		err = recoverTask.run(ctx, a.by, time.Second)
	}
	if err != nil && ctx.Err() == nil {
		a.observe(rotator.Event{Name: rotator.RecoveryRefused, Wait: lookPause, Err: err})
		for _, tenant := range due {
			a.looks[string(tenant)].at = now.Add(lookPause)
		}
	}
	a.noteLapses(err == nil && lapsed)
}

// Lapsed reads the records of these tenants, one after the other, until it finds a
// half-finished one whose claim has expired. It sends Mailu nothing and writes nothing.
func (s *Sweep) Lapsed(ctx context.Context, tenants []rotator.TenantID) (bool, error) {
	clock, err := rotator.GuardClock(ctx, s.Clock, s.Time)
	if err != nil {
		return false, err
	}
	r := &run{Sweep: s, clock: clock}
	for _, tenant := range tenants {
		c := r.candidate(ctx, string(tenant))
		if c.Transient() {
			return false, fmt.Errorf("read tenant %s: %w", tenant, c.Err)
		}
		if s.Cache != nil {
			s.Cache.Reread(rotator.StatusOf(clock.Now(), c, 1))
		}
		if pending := c.Credential.Pending; c.Err == nil && pending != nil && !pending.Claim.Live(clock.Now()) {
			return true, nil
		}
	}
	return false, nil
}
