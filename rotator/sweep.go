package rotator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/crypto"
)

// Sweep is one run over the fleet: it decides first (list, read, plan) and acts
// afterwards. It is used for one run at a time.
type Sweep struct {
	Store         Store
	Keys          Keys
	Mailu         Mailu
	Time          TimeSource
	Clock         Clock
	NewPassword   func() (crypto.Secret, error)
	DefaultPolicy Policy
	Owner         string        // names this process in claims
	Workers       int           // tenants that this host works on at a time; at least 1
	ClaimTTL      time.Duration // how long a claim stands
	Canary        bool          // one tenant per server goes first, alone
	Grace         time.Duration // what is in flight may take so long after ctx ended
	Observe       Observer
	Trace         Tracer
	// Surveyed is told how every tenant stands, whenever the whole fleet has been
	// read. It may be nil.
	Surveyed func([]Status)
}

// run is a sweep under way.
type run struct {
	*Sweep
	clock   Clock // the shared one
	keys    *crypto.Keyring
	sel     Selection
	until   time.Time // no rotation is begun at or after; zero: no bound
	rotator *Rotator
	slots   *slots // one per worker

	registry Registry // of a run that adds tenants
}

// Plan reads the fleet and reports what Run would do. It writes nothing.
func (s *Sweep) Plan(ctx context.Context, sel Selection) (Report, error) {
	r, err := s.open(ctx, sel)
	if err != nil {
		return Report{}, err
	}
	defer r.keys.Wipe()
	plan, err := r.plan(ctx)
	if err != nil {
		return Report{}, err
	}
	report := Report{Started: s.Clock.Now(), DryRun: true, RotatedBefore: r.sel.RotatedBefore}
	report.Rows = r.foresee(plan)
	report.Finished = s.Clock.Now()
	return report, nil
}

// foresee is the rows of a dry run.
func (r *run) foresee(plan []Decision) []Row {
	rows := make([]Row, len(plan))
	for i, d := range plan {
		if d.Action != Leave {
			d.Outcome = Planned
		}
		rows[i] = newRow(r.clock.Now(), d.Candidate, d.Outcome, d.Reason)
	}
	return rows
}

// Run rotates and finishes what the selection says; window bounds how long
// after the start a rotation may be begun, 0 means no bound. When ctx ends
// nothing new is begun, and what is in flight has the grace time to finish. An
// error means that the run could not take place; failures of single tenants are
// in the report.
func (s *Sweep) Run(ctx context.Context, sel Selection, window time.Duration) (report Report, err error) {
	ctx, end := s.Trace.begin(ctx, Part{Name: PartSweep})
	defer func() { end(err) }()
	report.Started = s.Clock.Now()
	s.Observe.observe(Event{Name: SweepStarted})
	r, err := s.open(ctx, sel)
	if err != nil {
		return report, err
	}
	defer r.keys.Wipe()
	plan, err := r.plan(ctx)
	if err != nil {
		return report, err
	}
	report.RotatedBefore = r.sel.RotatedBefore
	if window > 0 {
		r.until = r.clock.Now().Add(window)
	}
	report.Rows = r.act(ctx, plan, SweepPlanned)
	report.Finished = s.Clock.Now()
	s.Observe.observe(Event{Name: SweepFinished, Count: report.Failures()})
	return report, nil
}

// open compares the clocks and reads the master key. The caller wipes the keys.
func (s *Sweep) open(ctx context.Context, sel Selection) (*run, error) {
	clock, err := guardClock(ctx, s.Clock, s.Time)
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
	slots := newSlots(max(s.Workers, 1))
	rotator := &Rotator{
		Store: s.Store, Mailu: lending{s.Mailu, slots}, Keys: keys, Clock: clock, NewPassword: s.NewPassword,
		DefaultPolicy: s.DefaultPolicy, Owner: s.Owner, ClaimTTL: s.ClaimTTL, Observe: s.Observe, Trace: s.Trace,
	}
	return &run{Sweep: s, clock: clock, keys: keys, sel: sel, rotator: rotator, slots: slots}, nil
}

func (s *Sweep) masterKeys(ctx context.Context) (*crypto.Keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	return s.Keys.MasterKeys(ctx)
}

// errNobody: a run for nobody is a mistake and not a success.
var errNobody = errors.New("no tenant belongs to what was asked for: mailu-rotator status shows those that there are")

func (r *run) plan(ctx context.Context) ([]Decision, error) {
	candidates, err := r.survey(ctx)
	if err != nil {
		return nil, err
	}
	plan := Plan(r.clock.Now(), candidates, r.sel)
	if len(plan) == 0 {
		return nil, errNobody
	}
	return plan, nil
}

// maxUnread bounds how many reads may fail in a row, each with the store's own
// patience behind it, until the survey gives up: then it is not the records.
const maxUnread = 3

// survey reads every tenant of the selection.
func (r *run) survey(ctx context.Context) ([]Candidate, error) {
	names, err := r.names(ctx)
	if err != nil {
		return nil, err
	}
	candidates := make([]Candidate, len(names))
	var unread atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Workers, 1))
	for i, name := range names {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			candidates[i] = r.candidate(groupCtx, name)
			if !candidates[i].transient() {
				unread.Store(0)
				return nil
			}
			if unread.Add(1) >= maxUnread {
				return fmt.Errorf("read the tenants' records: %w", candidates[i].Err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.Surveyed != nil && len(r.sel.Tenants) == 0 {
		r.Surveyed(statuses(r.clock.Now(), candidates, Selection{}))
	}
	return candidates, nil
}

// names lists the fleet, unless the run was asked for some tenants alone.
func (r *run) names(ctx context.Context) ([]string, error) {
	if len(r.sel.Tenants) > 0 {
		names := make([]string, len(r.sel.Tenants))
		for i, tenant := range r.sel.Tenants {
			names[i] = string(tenant)
		}
		return names, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	names, err := r.Store.List(ctx)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: an empty prefix is never taken for a fleet without tenants", ErrNoTenants)
	}
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return names, nil
}

func (r *run) candidate(ctx context.Context, name string) Candidate {
	c := Candidate{Name: name}
	tenant, err := ParseTenantID(name)
	if err != nil {
		c.Foreign = true
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	doc, err := r.Store.Read(ctx, tenant)
	if err != nil {
		c.Credential.Tenant, c.Err = tenant, err
		return c
	}
	c.Credential, c.Err = ParseCredential(tenant, doc, r.DefaultPolicy)
	_, c.Unlisted = r.Mailu.Server(c.Credential.Origin)
	return c
}
