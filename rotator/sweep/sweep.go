// Package sweep runs over many tenants: it reads the fleet once ([Sweep]), decides from
// records alone what to do ([Plan], pure), and takes the tenants through one queue for
// each Mailu server, with a canary, a circuit breaker and bounded retries. A [Daemon]
// does so on schedule.
//
// What happens to one tenant is package rotator's; this package never writes a record
// and never sends a password itself. It keeps no records of tenants with nothing to do.
//
// Duplicates are its concern: two tenants that name one user would lock each other out,
// so nothing is pushed before the whole fleet is known, however few tenants a run is
// for.
package sweep

import (
	"cmp"
	"context"
	"errors"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// Sweep is one run over the fleet: it first decides (list, read, plan) and then acts.
// It must be used for one run at a time.
type Sweep struct {
	Store         rotator.Store
	Keys          rotator.Keys
	Mailu         rotator.Mailu
	Time          rotator.TimeSource
	Clock         rotator.Clock
	NewPassword   func() (crypto.Secret, error)
	DefaultPolicy rotator.Policy
	Owner         string        // names this process in claims
	Workers       int           // records that are read concurrently; at least 1
	Cores         int           // of this host, that hashes and keys may use; at least 1
	ClaimTTL      time.Duration // how long a claim is valid
	Canary        bool          // one tenant per server goes first, alone
	Grace         time.Duration // how long work in flight may continue after ctx ended
	Observe       rotator.Observer
	OnStep        func(step rotator.Step, took time.Duration) // called concurrently; may be nil
	// Cache receives every tenant's state whenever the whole fleet is read; may be nil.
	Cache *status.Cache
	// Engine, unless nil, has other processes do the work of Run, except for a run that
	// names tenants: somebody waits for those here.
	Engine Engine
	// Envelope, unless nil, replaces the keyring in simulations, where a key derivation
	// would cost more than everything else.
	Envelope func(*crypto.Keyring) rotator.Envelope
	// Confirm, unless nil, is asked with the plan before anything is written, except in a
	// dry run. False ends the run with [ErrDeclined].
	Confirm func(context.Context, []Decision) bool
	// OmitUnchanged leaves tenants without an action out of the report of Run, and out of
	// memory as soon as they are read.
	OmitUnchanged bool
	// DryRun makes Run, Add and Reseal report what they would do. Nothing is written.
	DryRun bool
	// Full makes Verify check every hash, also one that the proof of a record recognizes.
	Full bool
	// Unreadable are tenants that, as the operator knows, do not have any of the users
	// that Add is to add: their records need not be readable.
	Unreadable []rotator.TenantID
}

// ErrDeclined is the error of a run that was planned, and was not confirmed.
var ErrDeclined = errors.New("not confirmed: nothing was changed")

// run is a sweep in progress.
type run struct {
	*Sweep
	clock   rotator.Clock // the shared one
	sel     Selection
	means   meaning   // of its names
	until   time.Time // no rotation starts at or after this time; zero: no limit
	rotator *rotator.Rotator
	keys    *crypto.Keyring
	store   *storeHealth

	held    func() bool   // of a batch: false if another worker may have it; nil: no batch
	settled func(Settled) // likewise: receives the results

	creator rotator.Creator // of a run that adds tenants
	users   *duplicates     // of the whole fleet, once it has been read
	alone   bool            // nothing is pushed, so shared users do not matter
}

// Run rotates and finishes the selected tenants; window limits how long after the start
// a rotation may start, 0 means no limit. When ctx ends nothing new is started, and
// work in flight has the grace time to finish. An error means that the run could not
// start; failures of single tenants are in the report.
func (s *Sweep) Run(ctx context.Context, sel Selection, window time.Duration) (Report, error) {
	o := operation{sel: sel, process: (*run).processQueues}
	if s.Engine != nil && !sel.narrowed() {
		o.process = (*run).dispatch
	}
	o.started, o.planned, o.finished, o.interrupted = rotator.SweepStarted, rotator.SweepPlanned, rotator.SweepFinished, rotator.SweepInterrupted
	if sel.PendingOnly { // a recovery must not count as the scheduled sweep
		o.started, o.planned, o.finished, o.interrupted = rotator.RecoveryStarted, rotator.RecoveryPlanned, rotator.RecoveryFinished, rotator.RecoveryInterrupted
	}
	return s.execute(ctx, o, func(r *run) ([]Decision, error) {
		candidates, err := r.scan(ctx, func(c rotator.Candidate) bool {
			d := decide(r.clock.Now(), c, r.sel, 1)
			return !s.OmitUnchanged || d.Action != rotator.Leave || d.Outcome != rotator.Fresh
		})
		if err != nil {
			return nil, err
		}
		if window > 0 {
			r.until = r.clock.Now().Add(window)
		}
		return Plan(r.clock.Now(), candidates, r.sel), nil
	})
}

// operation is a kind of run with a report.
type operation struct {
	started, planned, finished rotator.EventName
	interrupted                rotator.EventName // "": it is finished in any case
	sel                        Selection
	invalid                    error // why it cannot start
	process                    func(*run, context.Context, []*job)
}

// execute plans and, unless it is a dry run, has the jobs of the plan processed. A dry
// run reports no events.
func (s *Sweep) execute(ctx context.Context, o operation, plan func(*run) ([]Decision, error)) (report Report, err error) {
	if s.DryRun {
		silent := *s
		silent.Observe = nil
		s = &silent
	}
	report.Started, report.DryRun = s.Clock.Now(), s.DryRun
	err = s.inRun(ctx, o, func(r *run) error {
		decisions, err := plan(r)
		if err != nil {
			return err
		}
		if s.Confirm != nil && !s.DryRun && !s.Confirm(ctx, decisions) {
			return cmp.Or(ctx.Err(), ErrDeclined)
		}
		report.RotatedBefore = r.sel.RotatedBefore
		report.Rows = r.act(ctx, decisions, o)
		report.Finished = s.Clock.Now()
		ended := rotator.Event{
			Name: o.finished, Count: report.Failures(), Took: report.Finished.Sub(report.Started),
			Rotated: report.Count(rotator.Rotated), Finished: report.Count(rotator.Finished),
		}
		if o.interrupted != "" {
			ended.Deferred = report.Count(rotator.Deferred)
			if ctx.Err() != nil && report.Incomplete() {
				ended.Name = o.interrupted
			}
		}
		s.Observe.Notify(ended)
		return nil
	})
	return report, err
}

// inRun reports the start, compares the clocks, reads the master key, and calls do.
func (s *Sweep) inRun(ctx context.Context, o operation, do func(*run) error) (err error) {
	if o.started != "" {
		s.Observe.Notify(rotator.Event{Name: o.started})
	}
	defer func() {
		if (errors.Is(err, ErrDeclined) || err != nil && ctx.Err() != nil) && o.interrupted != "" { // nothing was begun
			s.Observe.Notify(rotator.Event{Name: o.interrupted})
		}
	}()
	if o.invalid != nil {
		return o.invalid
	}
	clock, err := rotator.GuardClock(ctx, s.Clock, s.Time)
	if err != nil {
		return err
	}
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	sel := o.sel
	sel.NewestKey = keys.Newest().Version
	if sel.All && sel.RotatedBefore.IsZero() {
		sel.RotatedBefore = clock.Now()
	}
	r := &run{Sweep: s, clock: clock, sel: sel, rotator: s.newRotator(clock, keys, newProcessor(s.Cores)), keys: keys, store: &storeHealth{}}
	r.rotator.Rivals = r.namesakes(nil)
	r.rotator.LoginTurn = newLogins(runLogins, nil).turn
	return do(r)
}

func (s *Sweep) newRotator(clock rotator.Clock, keys *crypto.Keyring, processor processor) *rotator.Rotator {
	var envelope rotator.Envelope = keys
	if s.Envelope != nil {
		envelope = s.Envelope(keys)
	}
	return &rotator.Rotator{
		Store: s.Store, Mailu: limitedMailu{s.Mailu, processor}, Keys: limitedEnvelope{envelope, processor}, Clock: clock, NewPassword: s.NewPassword,
		DefaultPolicy: s.DefaultPolicy, Owner: s.Owner, ClaimTTL: s.ClaimTTL, Observe: s.Observe, OnStep: s.OnStep,
	}
}

func (s *Sweep) masterKeys(ctx context.Context) (*crypto.Keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, rotator.StoreDeadline)
	defer cancel()
	return s.Keys.MasterKeys(ctx)
}

// Row is the report on one tenant. The tags are those of the JSON report.
type Row struct {
	Tenant      string          `json:"tenant"` // as listed, even if it is not a tenant id
	User        string          `json:"user,omitempty"`
	Origin      rotator.Origin  `json:"origin,omitempty"`
	LastRotated string          `json:"last_rotated,omitempty"` // as stored, after the run
	Age         time.Duration   `json:"-"`                      // after the run; negative if unknown
	Outcome     rotator.Outcome `json:"outcome"`
	Reason      string          `json:"reason,omitempty"` // for people; empty if the outcome needs no explanation
	// Login is the result of a real login with the new password; empty: none was tried.
	Login rotator.LoginState `json:"login,omitempty"`

	UserPlan rotator.UserPlan `json:"-"` // of an addition in a dry run that asked Mailu
}

func (d Decision) row(now time.Time) Row {
	row := Row{
		Tenant: d.Name, User: d.Credential.Username, Origin: d.Credential.Origin,
		LastRotated: d.Credential.LastRotated, Age: -1, Outcome: d.Outcome, Reason: d.Reason, UserPlan: d.UserPlan,
	}
	if age, known := d.Credential.Age(now); known {
		row.Age = age
	}
	return row
}

// Report is the result of one sweep. The tags are those of the JSON report.
type Report struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	DryRun   bool      `json:"dry_run"`
	// RotatedBefore is the cut-off of a run over everything: tenants rotated at or
	// after it were skipped. It is zero in other runs. The next run continues from here
	// if it gets the same one.
	RotatedBefore time.Time `json:"rotated_before,omitzero"`
	Rows          []Row     `json:"-"` // in the order of the plan
}

// Count is the number of rows with the outcome.
func (r Report) Count(o rotator.Outcome) int {
	return count(r.Rows, func(row Row) bool { return row.Outcome == o })
}

// Failures is the number of rows whose outcome is a failure.
func (r Report) Failures() int {
	return count(r.Rows, func(row Row) bool { return row.Outcome.Failure() })
}

// FailedLogins is the number of rows whose new password did not log in, although the hash
// proves it.
func (r Report) FailedLogins() int {
	return count(r.Rows, func(row Row) bool { return row.Login.Problem() })
}

// Incomplete reports whether another run with the same cut-off would find something to
// do.
func (r Report) Incomplete() bool { return r.Failures() > 0 || r.Count(rotator.Deferred) > 0 }

func count[T any](all []T, is func(T) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}
