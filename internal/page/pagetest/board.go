package pagetest

import (
	"errors"
	"fmt"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/status"
)

// fleetCache is a cache and its clock.
type fleetCache struct {
	*status.Cache
	clock *rotatortest.Clock
}

func newCache() fleetCache {
	clock := rotatortest.NewClock(Now)
	return fleetCache{Cache: status.NewCache(clock), clock: clock}
}

func (b fleetCache) schedule() {
	b.Observe(rotator.Event{Name: rotator.TickScheduled, Wait: 12*time.Hour + 34*time.Minute})
	b.Observe(rotator.Event{Name: rotator.VerificationScheduled, Wait: 3*day + 14*time.Hour + 27*time.Minute})
}

// at sets the clock to the given time before now while f runs.
func (b fleetCache) at(before time.Duration, f func()) {
	b.clock.Advance(-before)
	f()
	b.clock.Advance(before)
}

// nights simulates six nightly sweeps and a verification between them. Each sweep
// rotates the passwords that are young at [Now].
func (b fleetCache) nights(all []rotator.Candidate) {
	b.at(0, func() { b.scan(all) })
	for night := 6; night > 0; night-- {
		b.at(time.Duration(night-1)*day+11*time.Hour+31*time.Minute, func() { b.sweep(all) })
		if night == 4 {
			b.at(3*day+9*time.Hour, func() { b.verify(all) })
		}
	}
	b.at(11*time.Hour+31*time.Minute, func() { b.scan(all) })
	b.schedule()
}

func (b fleetCache) scan(all []rotator.Candidate) {
	statuses := make([]rotator.Status, len(all))
	for i, c := range all {
		statuses[i] = rotator.StatusOf(b.clock.Now(), c, 1)
	}
	b.Replace(statuses)
}

func (b fleetCache) sweep(all []rotator.Candidate) {
	began := b.clock.Now()
	var night []rotator.Candidate
	for _, c := range all {
		born, known := c.Credential.Born(Now)
		if known && c.Err == nil && !c.Ignored && born.After(began.Add(-12*time.Hour)) && born.Before(began.Add(12*time.Hour)) {
			night = append(night, c)
		}
	}
	b.Observe(rotator.Event{Name: rotator.SweepStarted})
	b.Observe(rotator.Event{Name: rotator.SweepPlanned, Count: len(night)})
	for _, c := range night {
		b.Observe(rotator.Event{Name: rotator.TenantDone, Tenant: c.Name, Origin: c.Credential.Origin, Outcome: rotator.Rotated})
	}
	b.at(-time.Duration(len(night))*700*time.Millisecond-2*time.Second, func() { b.Observe(rotator.Event{Name: rotator.SweepFinished}) })
}

func (b fleetCache) verify(all []rotator.Candidate) {
	b.Observe(rotator.Event{Name: rotator.VerificationStarted})
	b.Observe(rotator.Event{Name: rotator.VerificationPlanned, Count: len(all)})
	for _, c := range all {
		if c.Err != nil || c.Ignored {
			continue // such as tenants repaired or created since
		}
		b.Observe(rotator.Event{Name: rotator.TenantVerified, Tenant: c.Name, Origin: c.Credential.Origin, State: rotator.StateOK})
	}
	b.at(-time.Duration(len(all))*90*time.Millisecond-3*time.Second, func() { b.Observe(rotator.Event{Name: rotator.VerificationFinished}) })
}

// trouble simulates a running sweep with failures.
func (b fleetCache) trouble(all []rotator.Candidate) {
	b.at(4*time.Minute, func() {
		b.Observe(rotator.Event{Name: rotator.SweepStarted})
		b.Observe(rotator.Event{Name: rotator.SweepPlanned, Count: 6 + len(all)/40})
	})
	refused := []struct {
		outcome rotator.Outcome
		err     error
	}{
		{rotator.Failed, errors.New("user unknown to this server: create the user in Mailu, or correct the username in Vault")},
		{rotator.Refused, errors.New("refused by Mailu: status 400: the password is too long; set password.length to 64 or less")},
		{rotator.Blocked, errors.New("not begun: the server failed three others")},
	}
	for i, r := range refused {
		c := all[(1+97*i)%len(all)]
		b.at(3*time.Minute, func() {
			b.Observe(rotator.Event{Name: rotator.TenantDone, Tenant: c.Name, Origin: c.Credential.Origin, Outcome: r.outcome, Err: r.err})
		})
	}
	for i, state := range []rotator.State{rotator.StateDrift, rotator.StateUnknownUser, rotator.StateUnreachable} {
		b.at(3*day, func() {
			b.Observe(rotator.Event{Name: rotator.TenantVerified, Tenant: all[(3+31*i)%len(all)].Name, State: state})
		})
	}
	for i := range min(len(all)/60, 40) {
		c := all[(200+3*i)%len(all)]
		b.Observe(rotator.Event{Name: rotator.TenantDone, Tenant: c.Name, Origin: Origin(0), Outcome: rotator.Rotated})
	}
	b.at(time.Minute, func() {
		b.Observe(rotator.Event{Name: rotator.ServerStopped, Origin: Origin(2), Err: fmt.Errorf("look up admin@customer-7.example at %s: status 403: Invalid API token: correct the token file", Origin(2))})
		b.Observe(rotator.Event{Name: rotator.ServerPaused, Origin: Origin(1), Wait: 2 * time.Minute, Err: fmt.Errorf("push to %s: connection reset by peer", Origin(1))})
	})
}

func (b fleetCache) refuse(why error) {
	b.at(6*time.Minute, func() { b.Observe(rotator.Event{Name: rotator.SweepRefused, Err: why}) })
	b.schedule()
}
