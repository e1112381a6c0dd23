package page

import (
	"time"

	"mailu-rotator/rotator/status"
)

// maxRuns is how many runs the page lists.
const maxRuns = 10

// run is one sweep or verification.
type run struct {
	Task        string
	Started     moment
	Took        string // empty: still running
	Interrupted bool
	Planned     string
	Done        string
	Deferred    int
	Failures    int
	Err         string
	Share       string // done of planned, in percent
}

// runs are the last ones, newest first.
func runs(f fleet) []run {
	last := f.Runs[:min(len(f.Runs), maxRuns)]
	all := make([]run, len(last))
	for i, e := range last {
		all[i] = newRun(f, e)
	}
	return all
}

func newRun(f fleet, e status.RunEntry) run {
	r := run{
		Task: e.Task, Started: f.moment(e.Started), Failures: e.Failures, Err: visible(e.Err, maxReason),
		Planned: number(e.Planned), Done: number(e.Done), Share: "0%", Interrupted: e.Interrupted, Deferred: e.Deferred,
	}
	if e.Planned > 0 {
		r.Share = percent(float64(min(e.Done, e.Planned)), e.Planned)
	}
	if !e.Finished.IsZero() {
		r.Took = took(e.Finished.Sub(e.Started))
	}
	return r
}

// took formats the duration of a run, rounded for people.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return "< 1 s"
	case d < time.Minute:
		return number(int(d/time.Second)) + " s"
	case d < time.Hour:
		return number(int(d/time.Minute)) + " min " + number(int(d%time.Minute/time.Second)) + " s"
	}
	return number(int(d/time.Hour)) + " h " + number(int(d%time.Hour/time.Minute)) + " min"
}
