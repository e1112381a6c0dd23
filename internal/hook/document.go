package hook

import (
	"encoding/json"
	"time"

	"mailu-rotator/rotator"
)

// Name is the occasion on which a program is run. The strings are those of the
// configuration and of the document.
type Name string

// The hooks.
const (
	AfterRotation Name = "after_rotation" // a password was replaced
	OnFailure     Name = "on_failure"     // a tenant failed, or a run could not take place
	AfterRun      Name = "after_run"      // a run is over
)

// DocumentVersion changes when a reader of the previous version would misread the
// document. New fields do not change it.
const DocumentVersion = 1

// Document is what a program reads. docs/hooks.md describes it.
type Document struct {
	Version  int    `json:"version"`
	Hook     Name   `json:"hook"`
	Event    string `json:"event"` // as in the log
	Time     string `json:"time"`
	Tenant   string `json:"tenant,omitempty"`
	User     string `json:"user,omitempty"`
	Origin   string `json:"origin,omitempty"`
	Rotation string `json:"rotation,omitempty"`
	Outcome  string `json:"outcome,omitempty"`
	State    string `json:"state,omitempty"`
	Error    string `json:"error,omitempty"`
	Run      *Run   `json:"run,omitempty"` // of AfterRun
}

// Run is the result of a run.
type Run struct {
	Task     string         `json:"task"` // sweep or verification; recoveries are not reported
	Started  string         `json:"started"`
	Planned  int            `json:"planned"`
	Counts   map[string]int `json:"counts"` // tenants by outcome, of a verification by state
	Failures int            `json:"failures"`
	Dropped  int            `json:"dropped"` // hooks dropped since the last run because the queue was full
}

// hookOf returns the hook for an event, or "".
func hookOf(e rotator.Event) Name {
	switch e.Name {
	case rotator.TenantRepaired:
		return AfterRotation
	case rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		return OnFailure
	case rotator.SweepFinished, rotator.SweepInterrupted, rotator.VerificationFinished, rotator.VerificationInterrupted:
		return AfterRun
	case rotator.TenantVerified:
		if e.Err != nil {
			return OnFailure
		}
	case rotator.TenantDone, rotator.TenantSkipped:
		switch {
		case e.Outcome == rotator.Rotated, e.Outcome == rotator.Finished, e.Outcome == rotator.Restored, e.Outcome == rotator.Added:
			return AfterRotation
		case e.Outcome.Failure():
			return OnFailure
		}
	}
	return ""
}

func newDocument(hook Name, e rotator.Event, now time.Time) Document {
	d := Document{
		Version: DocumentVersion, Hook: hook, Event: string(e.Name), Time: timestamp(now),
		Tenant: e.Tenant, User: e.User, Origin: string(e.Origin), Rotation: e.Rotation,
		Outcome: string(e.Outcome), State: string(e.State),
	}
	if e.Err != nil {
		d.Error = e.Err.Error()
	}
	return d
}

func (d Document) encode() []byte {
	text, _ := json.Marshal(d) // strings, numbers and a map of both always have a JSON form
	return append(text, '\n')
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// tally counts the run under way; a process has one at a time.
type tally struct {
	Run
	// refused holds the tasks whose refusal was reported already: the daemon retries a
	// refused run until Vault answers.
	refused map[rotator.Task]bool
}

// count adds the event, and reports whether to announce it.
func (t *tally) count(e rotator.Event, now time.Time) bool {
	switch e.Name {
	case rotator.SweepStarted, rotator.RecoveryStarted, rotator.VerificationStarted:
		t.Run = Run{Task: string(e.Name.Task()), Started: timestamp(now), Counts: map[string]int{}}
	case rotator.SweepPlanned, rotator.VerificationPlanned:
		t.Planned = e.Count
	case rotator.SweepFinished, rotator.SweepInterrupted, rotator.VerificationFinished:
		t.Failures = e.Count
	case rotator.TenantDone, rotator.TenantSkipped:
		t.add(string(e.Outcome))
	case rotator.TenantVerified:
		t.add(string(e.State))
	}
	return t.news(e)
}

func (t *tally) add(what string) {
	if t.Counts != nil { // a rollback is not a run
		t.Counts[what]++
	}
}

// news is false for a refusal that repeats the last one: until the run starts, or the
// next one is scheduled.
func (t *tally) news(e rotator.Event) bool {
	switch e.Name {
	case rotator.SweepPlanned, rotator.RecoveryPlanned, rotator.VerificationPlanned, rotator.TickScheduled, rotator.VerificationScheduled:
		delete(t.refused, e.Name.Task())
	case rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		if t.refused[e.Name.Task()] {
			return false
		}
		t.refused[e.Name.Task()] = true
	}
	return true
}
