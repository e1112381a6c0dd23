// Package status caches how every tenant stands between runs, for the status page, the
// metrics and the next run: a map of small values, filled by the scans of package sweep
// and by the events of package rotator. It holds no secret and sends no request.
package status

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mailu-rotator/rotator"
)

// maxRuns is how many runs a Cache remembers.
const maxRuns = 20

// Cache is what a daemon knows about its fleet between runs: each tenant's state when
// the records were last read, the changes of the runs since then, the servers' states,
// and the last runs. It is safe for concurrent use.
type Cache struct {
	clock rotator.Clock

	mu      sync.Mutex // guards the fields below
	state   Snapshot   // without Now, Tenants and Servers; its first run may be running
	tenants entries
	faulty  []rotator.Status // of the scan in progress, to record at its end
	servers map[rotator.Origin]ServerEntry
	logins  map[rotator.Origin]LoginEntry
}

// Entry is one tenant on a [Cache]. It omits LastRotated, which Born repeats; times
// have milliseconds.
type Entry struct {
	rotator.Status
	Outcome    rotator.Outcome // of the last run that processed it; empty: none yet
	Reason     string          // for people, with Outcome
	At         time.Time
	State      rotator.State // of the last verification; empty: none yet
	StateSince time.Time
	seen       int // the last scan that has seen it
}

// ServerEntry is one Mailu server on a [Cache].
type ServerEntry struct {
	Origin  rotator.Origin
	Breaker Breaker
	Since   time.Time
	Until   time.Time // of a pause
	Reason  string    // the fault that caused a pause or a stop
}

// LoginEntry is the last real login at one Mailu server, of a run or a verification.
type LoginEntry struct {
	Origin rotator.Origin
	State  rotator.LoginState
	User   string
	At     time.Time
	Reason string // of a login that failed
}

// Breaker is the state of a server in a run. The strings are the values of the metrics'
// label state.
type Breaker string

// The breakers' states, as of the last run that used the server: a run begins with all
// of them closed.
const (
	BreakerClosed  Breaker = "closed"  // requests go through
	BreakerPaused  Breaker = "paused"  // nothing is sent for a while, then one tenant tries
	BreakerStopped Breaker = "stopped" // nothing more was sent in that run
)

// Breakers returns all states of a breaker.
func Breakers() []Breaker { return []Breaker{BreakerClosed, BreakerPaused, BreakerStopped} }

// RunEntry is one run on a [Cache].
type RunEntry struct {
	Task        string // "sweep", "recovery" or "verification"
	Started     time.Time
	Finished    time.Time // zero: still running
	Interrupted bool      // the program was stopped before the run's end
	Planned     int       // tenants to process
	Done        int       // of them
	Deferred    int       // of an ended sweep or recovery: tenants not started
	Failures    int       // of a sweep or recovery: tenants that failed; of a verification: problems
	Err         string    // why the run could not start
	Empty       bool      // it could not start because the store has no tenant
}

// Trouble is something that the daemon itself suffers from; without a reason there is
// none.
type Trouble struct {
	Since  time.Time
	Reason string
}

// NewCache returns an empty cache.
func NewCache(clock rotator.Clock) *Cache {
	return &Cache{
		clock: clock, state: Snapshot{Began: clock.Now()}, servers: map[rotator.Origin]ServerEntry{}, logins: map[rotator.Origin]LoginEntry{},
		tenants: entries{small: map[rotator.UUID]smallEntry{}, whole: map[string]Entry{}},
	}
}

// Replace replaces the tenants by those just read and keeps their last outcomes.
func (c *Cache) Replace(all []rotator.Status) {
	c.BeginScan()
	for _, s := range all {
		c.Note(s, false)
	}
	c.EndScan(nil)
}

// BeginScan starts a scan of the whole fleet. Until it ends it removes no tenant from the
// cache, and changes no tenant's fault.
func (c *Cache) BeginScan() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenants.reading++
	c.faulty = nil
}

// Note records a tenant's state in a scan. If the store did not return its record, the
// cache keeps what it knew, and adds the fault.
func (c *Cache) Note(s rotator.Status, unread bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, known := c.tenants.find(s.Tenant)
	if unread && known {
		fault := s.Fault
		s = e.Status
		s.Fault = fault
	}
	if s.Fault != "" || e.Fault != "" {
		c.faulty = append(c.faulty, s)
		return
	}
	c.tenants.see(e, s)
}

// EndScan updates entries whose duplicate-user status is known only after the scan.
func (c *Cache) EndScan(again []rotator.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Concat(c.faulty, again) {
		e, _ := c.tenants.find(s.Tenant)
		c.tenants.see(e, s)
	}
	c.tenants.forget()
	c.state.Scanned, c.faulty = c.clock.Now(), nil
}

// Observe is an [Observer].
func (c *Cache) Observe(e rotator.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	c.state.Waiting = Trouble{}
	switch e.Name {
	case rotator.TickScheduled:
		c.state.NextSweep = now.Add(e.Wait)
	case rotator.VerificationScheduled:
		c.state.NextVerification = now.Add(e.Wait)
	case rotator.SweepStarted, rotator.RecoveryStarted, rotator.VerificationStarted:
		c.begin(RunEntry{Task: string(e.Name.Task()), Started: now})
		if c.state.Scanned.IsZero() {
			c.tenants.reading++
		}
	case rotator.SweepPlanned, rotator.RecoveryPlanned, rotator.VerificationPlanned:
		if e.Name != rotator.RecoveryPlanned { // which uses few servers, or none
			c.servers = map[rotator.Origin]ServerEntry{}
		}
		c.current(func(r *RunEntry) { r.Planned = e.Count })
	case rotator.SweepInterrupted, rotator.RecoveryInterrupted, rotator.VerificationInterrupted:
		c.current(func(r *RunEntry) { r.Finished, r.Interrupted, r.Failures, r.Deferred = now, true, e.Count, e.Deferred })
	case rotator.SweepFinished, rotator.RecoveryFinished, rotator.VerificationFinished:
		c.current(func(r *RunEntry) { r.Finished, r.Failures, r.Deferred = now, e.Count, e.Deferred })
		if e.Name == rotator.VerificationFinished {
			c.state.Verified = now
			if c.state.Scanned.IsZero() {
				c.tenants.forget()
			}
		}
	case rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		c.refuse(e, now)
	case rotator.ServerPaused:
		c.servers[e.Origin] = ServerEntry{Origin: e.Origin, Breaker: BreakerPaused, Since: now, Until: now.Add(e.Wait), Reason: reason(e.Err)}
	case rotator.ServerStopped:
		c.servers[e.Origin] = ServerEntry{Origin: e.Origin, Breaker: BreakerStopped, Since: now, Reason: reason(e.Err)}
	case rotator.LoginWasAccepted, rotator.LoginWasRefused, rotator.LoginWasNotPossible:
		c.logins[e.Origin] = LoginEntry{Origin: e.Origin, State: e.Name.Login(), User: e.User, At: now, Reason: reason(e.Err)}
	case rotator.TenantSkipped, rotator.TenantDone, rotator.TenantReported:
		if e.Name != rotator.TenantSkipped && e.Outcome != rotator.Deferred {
			c.current(func(r *RunEntry) { r.Done++ })
		}
		c.outcome(e, now)
	case rotator.TenantVerified:
		c.current(func(r *RunEntry) { r.Done++ })
		if c.state.Scanned.IsZero() && e.Status != nil { // a worker knows those that it verifies, and no others
			entry, _ := c.tenants.find(e.Tenant)
			c.tenants.see(entry, *e.Status)
		}
		c.change(e.Tenant, func(entry *Entry) { entry.State, entry.StateSince = e.State, now })
	}
}

// Waiting records that Vault is waited for, and why, until the next event.
func (c *Cache) Waiting(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Waiting.Reason == "" {
		c.state.Waiting.Since = c.clock.Now()
	}
	c.state.Waiting.Reason = reason(cause)
}

// Reloaded records why a reload of the configuration was refused, until one is accepted
// (nil).
func (c *Cache) Reloaded(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Refused = Trouble{}
	if err != nil {
		c.state.Refused = Trouble{Since: c.clock.Now(), Reason: reason(err)}
	}
}

// LoginsAt forgets the logins at all other servers: an operator may have ended them there.
func (c *Cache) LoginsAt(origins []rotator.Origin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.logins, func(origin rotator.Origin, _ LoginEntry) bool { return !slices.Contains(origins, origin) })
}

// ObserveWork is an [Observer] of what this process does for a run that it may not know:
// the run itself is the planner's.
func (c *Cache) ObserveWork(e rotator.Event) {
	switch e.Name {
	case rotator.ServerPaused, rotator.ServerStopped, rotator.LoginWasAccepted, rotator.LoginWasRefused, rotator.LoginWasNotPossible:
		c.Observe(e)
	case rotator.TenantDone:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outcome(e, c.clock.Now())
	}
}

// begin adds a run. The caller holds the lock, here and below.
func (c *Cache) begin(r RunEntry) {
	runs := slices.Insert(c.state.Runs, 0, r)
	c.state.Runs = runs[:min(len(runs), maxRuns)]
}

// current changes the running run; the daemon has one at a time.
func (c *Cache) current(change func(*RunEntry)) {
	if runs := c.state.Runs; len(runs) > 0 && runs[0].Finished.IsZero() {
		change(&runs[0])
	}
}

// refuse ends a run that could not start. It also adds a run that did not even begin,
// because Vault could not be reached, but only once: its repetitions follow closely.
func (c *Cache) refuse(e rotator.Event, now time.Time) {
	task, runs := string(e.Name.Task()), c.state.Runs
	if len(runs) == 0 || runs[0].Task != task || !runs[0].Finished.IsZero() && runs[0].Err == "" {
		c.begin(RunEntry{Task: task, Started: now})
	}
	r := &c.state.Runs[0]
	r.Finished, r.Err, r.Empty = now, reason(e.Err), errors.Is(e.Err, rotator.ErrNoTenants)
}

func (c *Cache) outcome(e rotator.Event, now time.Time) {
	if e.Outcome == rotator.Rotated || e.Outcome == rotator.Finished {
		c.servers[e.Origin] = ServerEntry{Origin: e.Origin, Breaker: BreakerClosed, Since: now}
	}
	c.change(e.Tenant, func(entry *Entry) {
		entry.Outcome, entry.Reason, entry.At = e.Outcome, reason(e.Err), now
		if e.Status != nil {
			entry.Status = *e.Status
		}
	})
}

// Reread updates a tenant whose record was read alone. A fault found by a scan stays,
// because the record alone does not show duplicate users.
func (c *Cache) Reread(s rotator.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(s.Tenant, func(e *Entry) {
		if e.Fault == "" {
			e.Status = s
		}
	})
}

// Pending returns the tenants whose rotation was running or half-finished when last
// seen.
func (c *Cache) Pending() (all []rotator.Status) {
	for e := range c.Tenants() {
		if e.Status.Pending != nil && e.Fault == "" {
			all = append(all, e.Status)
		}
	}
	return all
}

// Overdue counts the overdue tenants, with sweeps by the timetable.
func (c *Cache) Overdue(t rotator.Timetable) (n int) {
	now := c.clock.Now()
	for e := range c.Tenants() {
		if e.PolicyState(now, t) == rotator.PolicyStateOverdue {
			n++
		}
	}
	return n
}

// change ignores unknown tenants.
func (c *Cache) change(tenant string, change func(*Entry)) {
	if e, known := c.tenants.find(tenant); known {
		change(&e)
		c.tenants.put(e)
	}
}

// Failed reports whether the last run that processed the tenant failed. A nil cache
// knows none.
func (c *Cache) Failed(tenant string) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, _ := c.tenants.find(tenant)
	switch e.Outcome {
	case rotator.Failed, rotator.Refused, rotator.Unfinished, rotator.Stuck:
		return true
	}
	return false
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Snapshot is a copy of a [Cache].
type Snapshot struct {
	Now              time.Time
	Began            time.Time // with the daemon
	Waiting          Trouble   // for Vault
	Refused          Trouble   // the last reload of the configuration
	Cluster          Cluster
	Scanned          time.Time     // when the records were last read; zero: not yet
	Verified         time.Time     // when a verification last completed; zero: not yet
	Tenants          []Entry       // by name
	Servers          []ServerEntry // by origin; servers that the last run used or gave up
	Logins           []LoginEntry  // by origin; servers at which one was tried since the start
	Runs             []RunEntry    // newest first
	NextSweep        time.Time     // zero: not scheduled
	NextVerification time.Time
}

// Snapshot copies the cache. For a large fleet that is expensive; [Cache.Outline] and
// [Cache.Tenants] avoid it.
func (c *Cache) Snapshot() Snapshot {
	s := c.Outline()
	s.Tenants = slices.Collect(c.Tenants())
	slices.SortFunc(s.Tenants, func(a, b Entry) int { return strings.Compare(a.Tenant, b.Tenant) })
	return s
}

// Outline is a snapshot without the tenants.
func (c *Cache) Outline() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Now, s.Runs = c.clock.Now(), slices.Clone(s.Runs)
	for _, origin := range slices.Sorted(maps.Keys(c.servers)) {
		s.Servers = append(s.Servers, c.servers[origin])
	}
	for _, origin := range slices.Sorted(maps.Keys(c.logins)) {
		s.Logins = append(s.Logins, c.logins[origin])
	}
	return s
}

// Tenants yields each tenant once, in no order. Runs continue in the meantime; each
// tenant has its state at the time when it is yielded.
func (c *Cache) Tenants() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		c.mu.Lock()
		names := c.tenants.names()
		c.mu.Unlock()
		for name := range names {
			c.mu.Lock()
			e, known := c.tenants.find(name)
			c.mu.Unlock()
			if known && !yield(e) {
				return
			}
		}
	}
}

// Proven is when Mailu was last proven to hold the password in Vault, since the start:
// by a verification, or by a rotation that verified. It is zero if it was not, or if a
// later verification found otherwise.
func (e Entry) Proven() time.Time {
	rotated := e.Outcome == rotator.Rotated || e.Outcome == rotator.Finished
	switch {
	case rotated && e.Proof && !e.At.Before(e.StateSince):
		return e.At
	case e.State == rotator.StateOK || e.State.OfLogin():
		return e.StateSince
	}
	return time.Time{}
}

// LastOutcome is the result of the last run that processed the tenant, unless the
// record shows a newer one, or that no run may change it.
func (e Entry) LastOutcome(now time.Time) (o rotator.Outcome, at time.Time, reason string) {
	o, at, reason = e.Status.LastOutcome(now)
	if e.Outcome == "" || e.Outcome == rotator.Fresh || e.Ignored || e.Fault != "" || at.After(e.At) {
		return o, at, reason
	}
	return e.Outcome, e.At, e.Reason
}
