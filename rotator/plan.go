package rotator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// Candidate is one entry under the prefix, as read.
type Candidate struct {
	Name       string     // as listed
	Credential Credential // the valid parts of the record
	API        string     // the API of its requests, as [Mailu].API names it; "": its origin's host
	Err        error      // why it cannot be rotated
	Unlisted   error      // why no token may be sent to its origin; matters only if it needs a rotation
	Ignored    bool       // not a tenant: the name is no tenant id, or the record was withdrawn, as Err says
	Failed     bool       // the last run that processed it failed
}

// ReadCandidate reads the entry with this name.
func ReadCandidate(ctx context.Context, store Store, mailu Mailu, defaultPolicy Policy, name string) Candidate {
	c := Candidate{Name: name}
	tenant, err := ParseTenantID(name)
	if err != nil {
		c.Ignored = true
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	doc, err := store.Read(ctx, tenant)
	if err != nil {
		c.Credential.Tenant, c.Err = tenant, err
		return c
	}
	c.Credential, c.Err = ParseCredential(tenant, doc, defaultPolicy)
	if c.Ignored = isWithdrawn(c.Err); c.Ignored {
		return c
	}
	_, c.Unlisted = mailu.Server(c.Credential.Origin)
	c.API = mailu.API(c.Credential.Origin)
	return c
}

// failedBefore reports whether an earlier run failed with the tenant, according to the
// board or the record.
func (c Candidate) failedBefore() bool {
	pending := c.Credential.Pending
	return c.Failed || pending != nil && pending.Claim.Takeovers > 0
}

// transient reports whether the record could not be read for a temporary reason.
func (c Candidate) transient() bool {
	if errors.Is(c.Err, ErrUnavailable) {
		return true // even if it is ErrForbidden: no login is accepted any longer
	}
	return c.Err != nil && !errors.Is(c.Err, ErrAbsent) && !errors.Is(c.Err, ErrMalformed) && !errors.Is(c.Err, ErrForbidden)
}

// whyIgnored says why the entry is ignored.
func (c Candidate) whyIgnored() string {
	if c.Err != nil {
		return c.Err.Error()
	}
	return notATenant
}

// unread reports whether the store did not return the record.
func (c Candidate) unread() bool { return c.transient() || errors.Is(c.Err, ErrForbidden) }

// unfit returns the outcome and reason for a candidate whose record cannot be
// processed; "" for any other.
func (c Candidate) unfit() (Outcome, string) {
	switch {
	case c.Ignored:
		return Ignored, c.whyIgnored()
	case c.transient():
		return Failed, c.Err.Error()
	case c.Err != nil:
		return Invalid, c.Err.Error()
	}
	return "", ""
}

// Selection selects the tenants of a run.
type Selection struct {
	// All selects every tenant whatever its age, unless it was rotated at or after
	// RotatedBefore and sealed with the newest master key. Otherwise the due ones are
	// selected.
	All           bool
	RotatedBefore time.Time
	// PendingOnly selects only half-finished rotations.
	PendingOnly bool
	// Tenants and Origins restrict the run; empty means all.
	Tenants []TenantID
	Origins []Origin
	// NewestKey is the master key's newest version at the start of the run.
	NewestKey crypto.KeyVersion
	// Limit is the maximum number of rotations to start; 0 means no limit.
	// Half-finished ones are finished in addition.
	Limit int
}

// named reports whether the run names this tenant.
func (s Selection) named(t TenantID) bool { return slices.Contains(s.Tenants, t) }

// covers reports whether the candidate belongs to the run. One whose origin cannot be
// read may belong to any server: the report shows it.
func (s Selection) covers(c Candidate) bool {
	if len(s.Tenants) > 0 && !s.named(TenantID(c.Name)) {
		return false
	}
	origin := c.Credential.Origin
	return len(s.Origins) == 0 || origin == "" && !c.Ignored || slices.Contains(s.Origins, origin)
}

// Action is what to do with a tenant.
type Action int

const (
	// Leave means no change.
	Leave Action = iota
	// Finish finishes the half-finished rotation.
	Finish
	// Rotate rotates it.
	Rotate
	// Add adds it: it has no current password yet.
	Add
	// Reseal reseals its current password.
	Reseal
)

// Decision is the plan for one candidate.
type Decision struct {
	Candidate
	Action  Action
	Outcome Outcome // of a tenant that is not changed
	Reason  string
}

// Plan decides, from records alone, what a run does: half-finished rotations first,
// then the oldest credentials, and last the unchanged ones for the report. It has no
// side effects.
func Plan(now time.Time, candidates []Candidate, sel Selection) []Decision {
	rivals := sharedUsers(candidates)
	plan := make([]Decision, 0, len(candidates))
	for _, c := range candidates {
		if sel.covers(c) {
			plan = append(plan, decide(now, c, sel, rivals[userKey(c)]))
		}
	}
	sortByUrgency(now, plan)
	applyLimit(plan, sel.Limit)
	return plan
}

func decide(now time.Time, c Candidate, sel Selection, rivals int) Decision {
	d := Decision{Candidate: c}
	d.Outcome, d.Reason = c.unfit()
	switch {
	case d.Outcome != "":
	case rivals > 1:
		d.Err = rivalry(c, rivals)
		d.Outcome, d.Reason = Invalid, d.Err.Error()
	default:
		d.Action, d.Reason = judge(now, c.Credential, sel)
		d.Outcome = Fresh
		if d.Action != Leave && c.Unlisted != nil { // nothing may be prepared for it
			d.Action, d.Outcome, d.Reason, d.Err = Leave, Invalid, c.Unlisted.Error(), c.Unlisted
		}
	}
	return d
}

func rivalry(c Candidate, rivals int) error {
	where := string(c.Credential.Origin)
	if c.API != "" && c.API != c.Credential.Origin.Host() {
		where += " (its API is at " + c.API + ")"
	}
	return fmt.Errorf("%d tenants name the user %s on %s and would lock each other out: fix or remove all but one", rivals, c.Credential.Username, where)
}

// judge decides about one well-formed credential. It is called again whenever the
// record has changed since the plan.
func judge(now time.Time, c Credential, sel Selection) (Action, string) {
	switch {
	case c.Pending != nil:
		return Finish, c.halfFinished()
	case sel.PendingOnly:
		return Leave, "nothing half-finished"
	case sel.All && c.rotatedSince(sel.RotatedBefore, now) && c.KeyVersion >= sel.NewestKey:
		return Leave, "rotated since " + formatTime(sel.RotatedBefore)
	case sel.All:
		return Rotate, "asked for"
	}
	return c.ByPolicy(now)
}

// ByPolicy decides when nothing but the policy and the age matter, and says why.
func (c Credential) ByPolicy(now time.Time) (Action, string) {
	if c.Policy.Manual() {
		return Leave, "rotated only when asked for (manual)"
	}
	due, known := c.DueAt(now)
	day := due.UTC().Format(time.DateOnly)
	switch {
	case !known:
		return Rotate, "due: its age is unknown"
	case now.Before(due):
		return Leave, "not due before " + day
	}
	if end, _ := c.PolicyEnd(now); now.Before(end) {
		return Rotate, "due since " + day + ", spread from " + end.UTC().Format(time.DateOnly)
	}
	return Rotate, "due since " + day
}

// halfFinished describes the half-finished rotation and its owner.
func (c Credential) halfFinished() string {
	if c.BeingAdded() {
		return "half-finished addition by " + c.Pending.Claim.Owner
	}
	return halfFinishedBy(c.Pending.Claim)
}

// sharedUsers counts the tenants that name each user. Open additions do not count:
// nothing is pushed for them until admission decides which record gets the user.
func sharedUsers(candidates []Candidate) map[string]int {
	count := make(map[string]int, len(candidates))
	for _, c := range candidates {
		if key := userKey(c); key != "" && !c.open() {
			count[key]++
		}
	}
	return count
}

// userKey identifies a user among all Mailu servers: by the API of its requests, and by
// address. It is "" if the record names no user.
func userKey(c Candidate) string {
	address := c.Credential.Address()
	if c.Credential.Origin == "" || address == "" {
		return ""
	}
	api := c.API
	if api == "" {
		api = c.Credential.Origin.Host()
	}
	return api + " " + string(address)
}

// sortByUrgency puts half-finished rotations first, then those to start, oldest first
// (unknown age counts as oldest), then the rest. Tenants with which an earlier run
// failed follow their peers, so that the same few do not come first in every run.
func sortByUrgency(now time.Time, plan []Decision) {
	slices.SortStableFunc(plan, func(a, b Decision) int {
		if rank := urgency(a) - urgency(b); rank != 0 {
			return rank
		}
		if failed := a.failedBefore(); failed != b.failedBefore() {
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
	case d.Action == Finish:
		return 0
	case d.Action == Rotate:
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
		if plan[i].Action != Rotate {
			continue
		}
		if limit--; limit < 0 {
			plan[i].Action, plan[i].Outcome, plan[i].Reason = Leave, Deferred, "beyond the limit of this run"
		}
	}
}
