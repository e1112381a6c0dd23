package sweep

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"mailu-rotator/rotator"
)

// Decision is the plan for one candidate.
type Decision struct {
	rotator.Candidate
	Action   rotator.Action
	Outcome  rotator.Outcome // of a tenant that is not changed
	Reason   string
	UserPlan rotator.UserPlan // of an addition in a dry run that asked Mailu
}

// Plan decides, from records alone, what a run does: half-finished rotations first,
// then the oldest credentials, and last the unchanged ones for the report. It has no
// side effects.
func Plan(now time.Time, candidates []rotator.Candidate, sel Selection) []Decision {
	rivals := duplicateUsers(candidates)
	plan := make([]Decision, 0, len(candidates))
	for _, c := range candidates {
		if sel.covers(c) {
			plan = append(plan, decide(now, c, sel, rivals[rotator.UserKey(c)]))
		}
	}
	sortByUrgency(now, plan)
	applyLimit(plan, sel.Limit)
	return plan
}

func decide(now time.Time, c rotator.Candidate, sel Selection, rivals int) Decision {
	d := Decision{Candidate: c}
	d.Outcome, d.Reason = c.Unusable()
	switch {
	case d.Outcome != "":
	case rivals > 1:
		d.leave(rotator.Invalid, rotator.DuplicateUser(c, rivals))
	default:
		d.Action, d.Reason = judge(now, c.Credential, sel)
		d.Outcome = rotator.Fresh
		if d.Action != rotator.Leave && c.Unlisted != nil { // nothing may be prepared for it
			outcome := rotator.Invalid
			if errors.Is(c.Unlisted, ErrNoWorker) {
				outcome = rotator.Blocked
			}
			d.leave(outcome, c.Unlisted)
		}
	}
	return d
}

// leave makes it a tenant that is not changed, because of an error.
func (d *Decision) leave(outcome rotator.Outcome, err error) {
	d.Action, d.Outcome, d.Reason, d.Err = rotator.Leave, outcome, err.Error(), err
}

// judge decides about one well-formed credential. It is called again whenever the
// record has changed since the plan.
func judge(now time.Time, c rotator.Credential, sel Selection) (rotator.Action, string) {
	switch {
	case c.Pending != nil:
		return rotator.Finish, c.HalfFinished()
	case sel.PendingOnly:
		return rotator.Leave, "nothing half-finished"
	case sel.All && c.RotatedSince(sel.RotatedBefore, now) && c.KeyVersion >= sel.NewestKey:
		return rotator.Leave, "rotated since " + rotator.FormatTime(sel.RotatedBefore)
	case sel.All:
		return rotator.Rotate, "asked for"
	}
	return c.ByPolicy(now)
}

// duplicateUsers counts the tenants that name each user. Open additions do not count:
// nothing is pushed for them until admission decides which record gets the user.
func duplicateUsers(candidates []rotator.Candidate) map[string]int {
	count := make(map[string]int, len(candidates))
	for _, c := range candidates {
		if key := rotator.UserKey(c); key != "" && !c.Open() {
			count[key]++
		}
	}
	return count
}

// sortByUrgency puts half-finished rotations first, then those to start, oldest first
// (unknown age counts as oldest), then the rest. Tenants with which an earlier run
// failed follow their peers, so that the same few do not come first in every run.
func sortByUrgency(now time.Time, plan []Decision) {
	slices.SortStableFunc(plan, func(a, b Decision) int {
		if rank := urgency(a) - urgency(b); rank != 0 {
			return rank
		}
		if failed := a.FailedBefore(); failed != b.FailedBefore() {
			if failed {
				return 1
			}
			return -1
		}
		bornA, _ := a.Credential.Born(now)
		bornB, _ := b.Credential.Born(now)
		return cmp.Or(bornA.Compare(bornB), strings.Compare(a.Name, b.Name))
	})
}

func urgency(d Decision) int {
	switch {
	case d.Action == rotator.Finish:
		return 0
	case d.Action == rotator.Rotate:
		return 1
	case d.Outcome.Failure():
		return 2
	}
	return 3
}

func applyLimit(plan []Decision, limit int) {
	if limit == 0 {
		return
	}
	for i := range plan {
		if plan[i].Action != rotator.Rotate {
			continue
		}
		if limit--; limit < 0 {
			plan[i].Action, plan[i].Outcome, plan[i].Reason = rotator.Leave, rotator.Deferred, "beyond the limit of this run"
		}
	}
}
