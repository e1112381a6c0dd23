package rotator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// lapseMargin is how long after a claim's end it is looked at again: clocks
	// differ by less than minSkew.
	lapseMargin = minSkew + time.Second
	// lookPause is the pause after a look that finished nothing; it doubles.
	lookPause = 10 * time.Minute
	// maxLooks bounds how often one pending password is seen to between sweeps. Each
	// time may cost it one of its take-overs (maxTakeovers), and the sweeps are to
	// have theirs.
	maxLooks = 3
)

// lapses are the half-finished rotations to look at again between sweeps, by
// tenant. Until somebody finishes one, readers of the record may hold a password
// that Mailu does not accept any more, so a dead owner's must not wait for the
// next sweep.
type lapses map[string]look

type look struct {
	pending Status
	at      time.Time
	done    int // looks that left it half-finished
}

// noteLapses appoints the next look at what is half-finished; seenTo: the run that
// is over would have finished it.
func (a *agenda) noteLapses(seenTo bool) {
	a.next[recoverTask] = appointment{}
	if a.by.Pending == nil {
		return
	}
	now, before := a.clock.Now(), a.lapses
	a.lapses = lapses{}
	for _, s := range a.by.Pending() {
		l := before[s.Tenant]
		if !l.pending.Begun.Equal(s.Begun) {
			l = look{} // another password
		}
		l.pending = s
		if seenTo && !s.Pending.live(now) {
			l.after(now)
		}
		a.lapses[s.Tenant] = l
		if l.done >= maxLooks || s.Pending.Takeovers >= maxLooks {
			continue // the sweeps go on trying
		}
		begins := s.Pending.Until.Add(lapseMargin)
		if !s.Pending.live(now) || begins.Before(l.at) {
			begins = l.at
		}
		l.at = later(begins, now).Add(rand.N(lapseMargin)) // several hosts may wait for it
		a.lapses[s.Tenant] = l
		if next := a.next[recoverTask].start; next.IsZero() || l.at.Before(next) {
			a.next[recoverTask].start = l.at
		}
	}
}

// after counts a look that left the rotation half-finished.
func (l *look) after(now time.Time) {
	l.at = now.Add(lookPause << l.done)
	l.done++
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// look reads the tenants whose claims have lapsed since they were seen. Only if one
// of them is half-finished still the fleet is read, and a recovery run.
func (a *agenda) look(ctx context.Context) {
	now := a.clock.Now()
	var due []TenantID
	for tenant, l := range a.lapses {
		if l.at.IsZero() || l.at.After(now) {
			continue
		}
		due = append(due, TenantID(tenant))
		l.at = now.Add(time.Minute) // at the earliest, whatever this look brings
		a.lapses[tenant] = l
	}
	lapsed, err := a.by.Lapsed(ctx, due)
	if err == nil && lapsed {
		err = recoverTask.run(ctx, a.by, time.Second)
	}
	if err != nil && ctx.Err() == nil {
		a.observe(Event{Name: RecoveryRefused, Wait: lookPause, Err: err})
		for _, tenant := range due {
			l := a.lapses[string(tenant)]
			l.at = now.Add(lookPause)
			a.lapses[string(tenant)] = l
		}
	}
	a.noteLapses(err == nil && lapsed)
}

// Lapsed reads the records of these tenants, one after the other, until it finds
// one that is half-finished and whose claim has lapsed. It asks no Mailu server and
// writes nothing.
func (s *Sweep) Lapsed(ctx context.Context, tenants []TenantID) (bool, error) {
	clock, err := guardClock(ctx, s.Clock, s.Time)
	if err != nil {
		return false, err
	}
	r := &run{Sweep: s, clock: clock}
	for _, tenant := range tenants {
		c := r.candidate(ctx, string(tenant))
		if c.transient() {
			return false, fmt.Errorf("read tenant %s: %w", tenant, c.Err)
		}
		if s.Board != nil {
			s.Board.reread(StatusOf(clock.Now(), c, 1))
		}
		if pending := c.Credential.Pending; c.Err == nil && pending != nil && !pending.Claim.live(clock.Now()) {
			return true, nil
		}
	}
	return false, nil
}
