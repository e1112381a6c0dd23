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
	"context"
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
	ClaimTTL      time.Duration // how long a claim is valid
	Canary        bool          // one tenant per server goes first, alone
	Grace         time.Duration // how long work in flight may continue after ctx ended
	Observe       rotator.Observer
	OnStep        func(step rotator.Step, took time.Duration) // called concurrently; may be nil
	// Cache receives every tenant's state whenever the whole fleet is read. It may be
	// nil.
	Cache *status.Cache
	// Envelope replaces the keyring of the run in simulations, where a key derivation
	// would cost more than everything else. Nil: the keyring.
	Envelope func(*crypto.Keyring) rotator.Envelope
	// Brief leaves tenants without an action out of the report of Run, and out of
	// memory as soon as they are read.
	Brief bool
	// Unreadable are tenants that, as the operator knows, do not have any of the users
	// that Add is to add: their records need not be readable.
	Unreadable []rotator.TenantID
	// Users is asked by PlanAdd whether a user can be created. Nil: PlanAdd does not
	// ask Mailu.
	Users rotator.Creator
}

// run is a sweep in progress.
type run struct {
	*Sweep
	clock   rotator.Clock // the shared one
	keys    *crypto.Keyring
	sel     Selection
	until   time.Time // no rotation starts at or after this time; zero: no limit
	rotator *rotator.Rotator
	store   *storeHealth

	creator rotator.Creator // of a run that adds tenants
	users   *duplicates     // of the whole fleet, if a verification has read it
	alone   bool            // nothing is pushed, so shared users do not matter
}

// Plan reads the fleet and reports what Run would do. It writes nothing.
func (s *Sweep) Plan(ctx context.Context, sel Selection) (Report, error) {
	r, err := s.open(ctx, sel)
	if err != nil {
		return Report{}, err
	}
	defer r.keys.Wipe()
	plan, err := r.plan(ctx, everything)
	if err != nil {
		return Report{}, err
	}
	report := Report{Started: s.Clock.Now(), DryRun: true, RotatedBefore: r.sel.RotatedBefore}
	report.Rows = r.foresee(plan)
	report.Finished = s.Clock.Now()
	return report, nil
}

// foresee returns the rows of a dry run.
func (r *run) foresee(plan []Decision) []Row {
	rows := make([]Row, len(plan))
	for i, d := range plan {
		if d.Action != rotator.Leave {
			d.Outcome = rotator.Planned
		}
		rows[i] = newRow(r.clock.Now(), d.Candidate, d.Outcome, d.Reason)
	}
	return rows
}

// Run rotates and finishes the selected tenants; window limits how long after the start
// a rotation may start, 0 means no limit. When ctx ends nothing new is started, and
// work in flight has the grace time to finish. An error means that the run could not
// start; failures of single tenants are in the report.
func (s *Sweep) Run(ctx context.Context, sel Selection, window time.Duration) (report Report, err error) {
	kind := sel.kind()
	report.Started = s.Clock.Now()
	s.Observe.Notify(rotator.Event{Name: kind.started})
	defer func() {
		if err != nil && ctx.Err() != nil { // it started, and was interrupted before it had a plan
			s.Observe.Notify(rotator.Event{Name: kind.interrupted})
		}
	}()
	r, err := s.open(ctx, sel)
	if err != nil {
		return report, err
	}
	defer r.keys.Wipe()
	keep := everything
	if s.Brief {
		keep = r.concerned
	}
	plan, err := r.plan(ctx, keep)
	if err != nil {
		return report, err
	}
	report.RotatedBefore = r.sel.RotatedBefore
	if window > 0 {
		r.until = r.clock.Now().Add(window)
	}
	report.Rows = r.act(ctx, plan, kind.planned)
	report.Finished = s.Clock.Now()
	ended := rotator.Event{Name: kind.finished, Count: report.Failures(), Deferred: report.Count(rotator.Deferred)}
	if ctx.Err() != nil && report.Incomplete() {
		ended.Name = kind.interrupted
	}
	s.Observe.Notify(ended)
	return report, nil
}

// runKind names the events of a run.
type runKind struct {
	started, planned, finished, interrupted rotator.EventName
}

// kind distinguishes a recovery from a sweep: a recovery must not count as the
// scheduled sweep.
func (sel Selection) kind() runKind {
	if sel.PendingOnly {
		return runKind{rotator.RecoveryStarted, rotator.RecoveryPlanned, rotator.RecoveryFinished, rotator.RecoveryInterrupted}
	}
	return runKind{rotator.SweepStarted, rotator.SweepPlanned, rotator.SweepFinished, rotator.SweepInterrupted}
}

// open compares the clocks and reads the master key. The caller must wipe the keys.
func (s *Sweep) open(ctx context.Context, sel Selection) (*run, error) {
	clock, err := rotator.GuardClock(ctx, s.Clock, s.Time)
	if err != nil {
		return nil, err
	}
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return nil, err
	}
	sel.NewestKey = keys.Newest().Version
	if sel.All && sel.RotatedBefore.IsZero() {
		sel.RotatedBefore = clock.Now()
	}
	r := &run{Sweep: s, clock: clock, keys: keys, sel: sel, rotator: s.newRotator(clock, keys), store: &storeHealth{}}
	r.rotator.Rivals = r.namesakes(nil)
	return r, nil
}

func (s *Sweep) newRotator(clock rotator.Clock, keys *crypto.Keyring) *rotator.Rotator {
	processor := newHostProcessor()
	return &rotator.Rotator{
		Store: s.Store, Mailu: limitedMailu{s.Mailu, processor}, Keys: limitedEnvelope{s.envelope(keys), processor}, Clock: clock, NewPassword: s.NewPassword,
		DefaultPolicy: s.DefaultPolicy, Owner: s.Owner, ClaimTTL: s.ClaimTTL, Observe: s.Observe, OnStep: s.OnStep,
	}
}

func (s *Sweep) envelope(keys *crypto.Keyring) rotator.Envelope {
	if s.Envelope != nil {
		return s.Envelope(keys)
	}
	return keys
}

func (s *Sweep) masterKeys(ctx context.Context) (*crypto.Keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, rotator.StoreDeadline)
	defer cancel()
	return s.Keys.MasterKeys(ctx)
}

func (r *run) plan(ctx context.Context, keep func(rotator.Candidate) bool) ([]Decision, error) {
	candidates, err := r.scan(ctx, keep)
	if err != nil {
		return nil, err
	}
	return Plan(r.clock.Now(), candidates, r.sel), nil
}

// concerned selects the candidates for which a brief run has a row.
func (r *run) concerned(c rotator.Candidate) bool {
	if outcome, _ := c.Unusable(); outcome != "" {
		return true
	}
	action, _ := judge(r.clock.Now(), c.Credential, r.sel)
	return action != rotator.Leave
}
