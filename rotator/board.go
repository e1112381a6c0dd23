package rotator

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxRuns is how many runs a Board remembers.
const maxRuns = 20

// Board is what a daemon knows about its fleet between runs: each tenant's state when
// the records were last read, the changes of the runs since then, the servers' states,
// and the last runs. Its data come from [Board.Survey] and [Board.Observe]; it sends no
// requests. It holds no secret and is safe for concurrent use.
type Board struct {
	clock Clock

	mu       sync.Mutex // guards the fields below
	surveyed time.Time
	verified time.Time
	tenants  *entries
	servers  map[Origin]*ServerEntry
	runs     []RunEntry // newest first; the first may be running
	next     [tasks]time.Time
}

// Entry is one tenant on a [Board]. It omits LastRotated, which Born repeats; times
// have milliseconds.
type Entry struct {
	Status
	Outcome    Outcome // of the last run that processed it; empty: none yet
	Reason     string  // for people, with Outcome
	At         time.Time
	State      State // of the last verification; empty: none yet
	StateSince time.Time
}

// ServerEntry is one Mailu server on a [Board].
type ServerEntry struct {
	Origin  Origin
	Breaker Breaker
	Since   time.Time
	Until   time.Time // of a pause
	Reason  string    // the fault that caused a pause or a stop
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

// RunEntry is one run on a [Board].
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
}

// NewBoard returns an empty board.
func NewBoard(clock Clock) *Board {
	return &Board{clock: clock, tenants: newEntries(), servers: map[Origin]*ServerEntry{}}
}

// Survey replaces the tenants by those just read and keeps their last outcomes.
func (b *Board) Survey(all []Status) {
	survey := b.survey()
	for _, s := range all {
		survey.note(s, false)
	}
	survey.end(nil)
}

// boardSurvey is a scan of the whole fleet in progress. Until it ends it removes no
// tenant from the board, and changes no tenant's fault.
type boardSurvey struct {
	*Board
	faulty []Status // to note at the end
}

func (b *Board) survey() *boardSurvey {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tenants.reading++
	return &boardSurvey{Board: b}
}

// note records a tenant's state. If the store did not return its record, the board
// keeps what it knew, and adds the fault.
func (b *boardSurvey) note(s Status, unread bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, _, known := b.tenants.find(s.Tenant)
	if unread && known {
		fault := s.Fault
		s = e.Status
		s.Fault = fault
	}
	if s.Fault != "" || e.Fault != "" {
		b.faulty = append(b.faulty, s)
		return
	}
	e.Status = s
	b.tenants.put(e, b.tenants.reading)
}

// end updates entries whose duplicate-user status is known only after the scan.
func (b *boardSurvey) end(again []Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range slices.Concat(b.faulty, again) {
		e, _, _ := b.tenants.find(s.Tenant)
		e.Status = s
		b.tenants.put(e, b.tenants.reading)
	}
	b.tenants.forget()
	b.surveyed = b.clock.Now()
}

// Observe is an [Observer].
func (b *Board) Observe(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	switch e.Name {
	case TickScheduled:
		b.next[sweepTask] = now.Add(e.Wait)
	case VerificationScheduled:
		b.next[verifyTask] = now.Add(e.Wait)
	case SweepStarted, RecoveryStarted, VerificationStarted:
		b.begin(RunEntry{Task: string(e.Name.Task()), Started: now})
	case SweepPlanned, RecoveryPlanned, VerificationPlanned:
		if e.Name != RecoveryPlanned { // which uses few servers, or none
			b.servers = map[Origin]*ServerEntry{}
		}
		b.current(func(r *RunEntry) { r.Planned = e.Count })
	case SweepInterrupted, RecoveryInterrupted, VerificationInterrupted:
		b.current(func(r *RunEntry) { r.Finished, r.Interrupted, r.Failures, r.Deferred = now, true, e.Count, e.Deferred })
	case SweepFinished, RecoveryFinished, VerificationFinished:
		b.current(func(r *RunEntry) { r.Finished, r.Failures, r.Deferred = now, e.Count, e.Deferred })
		if e.Name == VerificationFinished {
			b.verified = now
		}
	case SweepRefused, RecoveryRefused, VerificationRefused:
		b.refuse(e, now)
	case ServerPaused:
		b.servers[e.Origin] = &ServerEntry{Origin: e.Origin, Breaker: BreakerPaused, Since: now, Until: now.Add(e.Wait), Reason: reason(e.Err)}
	case ServerStopped:
		b.servers[e.Origin] = &ServerEntry{Origin: e.Origin, Breaker: BreakerStopped, Since: now, Reason: reason(e.Err)}
	case TenantSkipped, TenantDone:
		b.outcome(e, now)
	case TenantVerified:
		b.current(func(r *RunEntry) { r.Done++ })
		b.change(e.Tenant, func(entry *Entry) { entry.State, entry.StateSince = e.State, now })
	}
}

// begin adds a run. The caller holds the lock, here and below.
func (b *Board) begin(r RunEntry) {
	b.runs = slices.Insert(b.runs, 0, r)
	b.runs = b.runs[:min(len(b.runs), maxRuns)]
}

// current changes the running run; the daemon has one at a time.
func (b *Board) current(change func(*RunEntry)) {
	if len(b.runs) > 0 && b.runs[0].Finished.IsZero() {
		change(&b.runs[0])
	}
}

// refuse ends a run that could not start. It also adds a run that did not even begin,
// because Vault could not be reached, but only once: its repetitions follow closely.
func (b *Board) refuse(e Event, now time.Time) {
	task := string(e.Name.Task())
	if len(b.runs) == 0 || b.runs[0].Task != task || !b.runs[0].Finished.IsZero() && b.runs[0].Err == "" {
		b.begin(RunEntry{Task: task, Started: now})
	}
	b.runs[0].Finished, b.runs[0].Err = now, reason(e.Err)
}

func (b *Board) outcome(e Event, now time.Time) {
	if e.Name == TenantDone && e.Outcome != Deferred {
		b.current(func(r *RunEntry) { r.Done++ })
	}
	if e.Outcome == Rotated || e.Outcome == Finished {
		b.servers[e.Origin] = &ServerEntry{Origin: e.Origin, Breaker: BreakerClosed, Since: now}
	}
	b.change(e.Tenant, func(entry *Entry) {
		entry.Outcome, entry.Reason, entry.At = e.Outcome, reason(e.Err), now
		if e.Status != nil {
			entry.Status = *e.Status
		}
	})
}

// reread updates a tenant whose record was read alone. A fault found by a scan stays,
// because the record alone does not show duplicate users.
func (b *Board) reread(s Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(s.Tenant, func(e *Entry) {
		if e.Fault == "" {
			e.Status = s
		}
	})
}

// Pending returns the tenants whose rotation was running or half-finished when last
// seen.
func (b *Board) Pending() (all []Status) {
	for e := range b.Tenants() {
		if e.Status.Pending != nil && e.Fault == "" {
			all = append(all, e.Status)
		}
	}
	return all
}

// Overdue counts the overdue tenants, with sweeps by the timetable.
func (b *Board) Overdue(t Timetable) (n int) {
	now := b.clock.Now()
	for e := range b.Tenants() {
		if e.Standing(now, t) == StandingOverdue {
			n++
		}
	}
	return n
}

// change ignores unknown tenants.
func (b *Board) change(tenant string, change func(*Entry)) {
	if e, seen, known := b.tenants.find(tenant); known {
		change(&e)
		b.tenants.put(e, seen)
	}
}

// failed reports whether the last run that processed the tenant failed. A nil board
// knows none.
func (b *Board) failed(tenant string) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, _, _ := b.tenants.find(tenant)
	switch e.Outcome {
	case Failed, Refused, Unfinished, Stuck:
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

// Snapshot is a copy of a [Board] at one moment.
type Snapshot struct {
	Now              time.Time
	Surveyed         time.Time     // when the records were last read; zero: not yet
	Verified         time.Time     // when a verification last completed; zero: not yet
	Tenants          []Entry       // by name
	Servers          []ServerEntry // by origin; servers that the last run used or gave up
	Runs             []RunEntry    // newest first
	NextSweep        time.Time     // zero: not scheduled
	NextVerification time.Time
}

// Snapshot copies the board. For a large fleet that is expensive; [Board.Outline] and
// [Board.Tenants] avoid it.
func (b *Board) Snapshot() Snapshot {
	s := b.Outline()
	s.Tenants = slices.Collect(b.Tenants())
	slices.SortFunc(s.Tenants, func(a, b Entry) int { return strings.Compare(a.Tenant, b.Tenant) })
	return s
}

// Outline is a snapshot without the tenants.
func (b *Board) Outline() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Snapshot{
		Now: b.clock.Now(), Surveyed: b.surveyed, Verified: b.verified, Runs: slices.Clone(b.runs),
		NextSweep: b.next[sweepTask], NextVerification: b.next[verifyTask],
	}
	for _, origin := range slices.Sorted(maps.Keys(b.servers)) {
		s.Servers = append(s.Servers, *b.servers[origin])
	}
	return s
}

// Tenants yields each tenant once, in no order. Runs continue in the meantime; each
// tenant has its state at the time when it is yielded.
func (b *Board) Tenants() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		b.mu.Lock()
		ids, others := b.tenants.names()
		b.mu.Unlock()
		for _, id := range ids {
			if e, known := b.entry(id.String()); known && !yield(e) {
				return
			}
		}
		for _, name := range others {
			if e, known := b.entry(name); known && !yield(e) {
				return
			}
		}
	}
}

func (b *Board) entry(name string) (Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, _, known := b.tenants.find(name)
	return e, known
}
