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

// lapses are the half-finished rotations to check again between sweeps, by tenant.
// Until a process finishes one, readers of the record may hold a password that Mailu no
// longer accepts, so a dead owner's rotation must not wait for the next sweep.
type lapses map[string]look

type look struct {
	pending rotator.Status
	at      time.Time
	done    int // checks that left it half-finished
}

// noteLapses schedules the next check of half-finished rotations. seenTo: the run that
// just ended would have finished them.
func (a *scheduler) noteLapses(seenTo bool) {
	a.next[recoverTask] = nextRun{}
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
		if seenTo && !s.Pending.Live(now) {
			l.after(now)
		}
		a.lapses[s.Tenant] = l
		if l.done >= maxLooks || s.Pending.Takeovers >= maxLooks {
			continue // the sweeps will retry it
		}
		begins := s.Pending.Until.Add(lapseMargin)
		if !s.Pending.Live(now) || begins.Before(l.at) {
			begins = l.at
		}
		l.at = later(begins, now).Add(rand.N(lapseMargin)) // several hosts may wait for it
		a.lapses[s.Tenant] = l
		if next := a.next[recoverTask].start; next.IsZero() || l.at.Before(next) {
			a.next[recoverTask].start = l.at
		}
	}
}

// after counts a check that left the rotation half-finished.
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

// look reads the tenants whose claims have expired since they were seen. Only if one of
// them is still half-finished it starts a recovery, which reads the fleet.
func (a *scheduler) look(ctx context.Context) {
	now := a.clock.Now()
	var due []rotator.TenantID
	for tenant, l := range a.lapses {
		if l.at.IsZero() || l.at.After(now) {
			continue
		}
		due = append(due, rotator.TenantID(tenant))
		l.at = now.Add(time.Minute) // at the earliest, whatever the result
		a.lapses[tenant] = l
	}
	lapsed, err := a.by.Lapsed(ctx, due)
	if err == nil && lapsed {
		err = recoverTask.run(ctx, a.by, time.Second)
	}
	if err != nil && ctx.Err() == nil {
		a.observe(rotator.Event{Name: rotator.RecoveryRefused, Wait: lookPause, Err: err})
		for _, tenant := range due {
			l := a.lapses[string(tenant)]
			l.at = now.Add(lookPause)
			a.lapses[string(tenant)] = l
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
