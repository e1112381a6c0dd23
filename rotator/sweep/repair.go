package sweep

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"

	"mailu-rotator/rotator"
)

// VerifyReport is the result of one run of Verify. The tags are those of the JSON report.
type VerifyReport struct {
	Started  time.Time         `json:"started"`
	Finished time.Time         `json:"finished"`
	Findings []rotator.Finding `json:"-"` // in the order of the list
}

// Problems is the number of findings that need attention.
func (v VerifyReport) Problems() int { return count(v.Findings, rotator.Finding.Problem) }

// Count is the number of findings with the state.
func (v VerifyReport) Count(s rotator.State) int {
	return count(v.Findings, func(f rotator.Finding) bool { return f.State == s })
}

// Verify asks, for every selected tenant, whether Mailu accepts what Vault holds.
// Without repair it writes nothing. With repair it finishes a half-finished rotation,
// makes a password current again that Mailu holds and only Vault's history has, and, if
// neither explains the drift, pushes Vault's current password, under a claim like any
// push.
func (s *Sweep) Verify(ctx context.Context, sel Selection, repair bool) (result VerifyReport, err error) {
	result.Started = s.Clock.Now()
	o := operation{started: rotator.VerificationStarted, interrupted: rotator.VerificationInterrupted, sel: sel}
	err = s.inRun(ctx, o, func(r *run) error {
		candidates, err := r.scan(ctx, everything)
		if err != nil && !(sel.MayBeNobody && errors.Is(err, errNobody)) {
			return err
		}
		rivals := duplicateUsers(candidates)
		candidates = slices.DeleteFunc(candidates, func(c rotator.Candidate) bool { return !r.sel.covers(c) })
		r.rotator.LoginTurn = newLogins(verificationLogins, sample(r.clock.Now(), candidates)).turn
		s.Observe.Notify(rotator.Event{Name: rotator.VerificationPlanned, Count: len(candidates)})
		result.Findings = r.inspect(ctx, candidates, repair, rivals)
		if err := ctx.Err(); err != nil {
			return err
		}
		result.Finished = s.Clock.Now()
		s.Observe.Notify(rotator.Event{Name: rotator.VerificationFinished, Count: result.Problems(), Took: result.Finished.Sub(result.Started)})
		return nil
	})
	return result, err
}

// fullEvery is in days: each tenant's turn for a whole verification comes once in this time,
// whatever its proof says. So a daily one does 2 % of the fleet.
const fullEvery = 50

// sampled reports whether it is the tenant's day.
func sampled(tenant string, now time.Time) bool {
	place := fnv.New32a()
	_, _ = place.Write([]byte(tenant)) // never fails
	return int64(place.Sum32()%fullEvery) == now.Unix()/(24*60*60)%fullEvery
}

// maxUnanswered is how many tenants in a row a server may leave without an answer, after
// the client's own retries, before nothing more is asked.
const maxUnanswered = 3

// inspect makes a finding for each candidate. Servers are queried concurrently, so that
// a slow or dead one does not delay the others.
func (r *run) inspect(ctx context.Context, candidates []rotator.Candidate, repair bool, rivals map[string]int) []rotator.Finding {
	findings := make([]rotator.Finding, len(candidates))
	places := make([]int, len(candidates))
	for i := range places {
		places[i] = i
	}
	perServer(places, func(i int) rotator.Origin { return candidates[i].Credential.Origin }, func(origin rotator.Origin, places []int) {
		width := 1 // of a server of which nothing is asked
		if server, err := r.Mailu.Server(origin); err == nil {
			width = 2 * server.MaxConcurrent() // as in a queue, one is asked about while this host checks a hash
		}
		var silent atomic.Int64
		parallel(width, len(places), func(n int) {
			if ctx.Err() == nil {
				c := candidates[places[n]]
				findings[places[n]] = r.find(ctx, c, repair, rivals[rotator.UserKey(c)], &silent)
			}
		})
	})
	return findings
}

// find examines one tenant, and repairs it if requested. For tenants that share a user
// the repair of one would be the drift of another.
func (r *run) find(ctx context.Context, c rotator.Candidate, repair bool, rivals int, silent *atomic.Int64) rotator.Finding {
	f := rotator.NewFinding(c)
	asked := !c.Ignored && c.Err == nil && c.Unlisted == nil
	if asked && silent.Load() >= maxUnanswered {
		f.State, f.Reason = rotator.StateUnreachable, fmt.Sprintf("not asked: the server left %d in a row without an answer", maxUnanswered)
	} else {
		planned := rotator.UserKey(c)
		f, c = r.rotator.Verify(ctx, c, r.Full || sampled(c.Name, r.clock.Now()))
		if rotator.UserKey(c) != planned { // it now names another user
			rivals = r.users.count(c) + 1
		}
		switch {
		case !asked || f.State == rotator.StateUnreadable: // the server was not involved
		case f.State == rotator.StateUnreachable:
			silent.Add(1)
		default:
			silent.Store(0)
		}
	}
	switch {
	case rivals > 1 && f.Problem():
		f.Reason += "; " + rotator.DuplicateUser(c, rivals).Error()
	case repair && f.Repairable():
		f = r.repair(ctx, c, f)
	}
	if ctx.Err() == nil || f.Repaired { // an interrupted check is no finding
		status := rotator.StatusOf(r.clock.Now(), c, rivals)
		r.Observe.Notify(rotator.Event{Name: rotator.TenantVerified, Tenant: f.Tenant, User: f.User, Origin: f.Origin, State: f.State, Status: &status, Err: f.ProblemError()})
	}
	return f
}

// repair is bounded by the grace time after an interrupt.
func (r *run) repair(ctx context.Context, c rotator.Candidate, f rotator.Finding) rotator.Finding {
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	return r.rotator.Repair(ctx, c, f, r.unshared, r.sel.named(c.Credential.Tenant))
}

// unshared refuses a deleted record, which no scan contains, if another tenant now
// has its user.
func (r *run) unshared(c rotator.Credential) error {
	candidate := r.candidateOf(c)
	if others := r.users.count(candidate); others > 0 {
		return rotator.DuplicateUser(candidate, others+1)
	}
	return nil
}

// Reseal seals the current password of every selected record with the newest master
// key, if it is sealed with an older one. The password and its last_rotated, which is
// its age, do not change: Mailu is not asked, and users of the password notice nothing.
// It does not touch pending passwords, since a rotation recognizes its password by the
// sealed string; a record with one is skipped, and counts as a failure, because it
// still needs an older key.
func (s *Sweep) Reseal(ctx context.Context, sel Selection) (Report, error) {
	o := operation{started: rotator.ResealStarted, planned: rotator.ResealPlanned, finished: rotator.ResealFinished, sel: sel, process: (*run).resealAll}
	return s.execute(ctx, o, func(r *run) (plan []Decision, err error) {
		r.alone = len(sel.Tenants) > 0 && len(sel.Names) == 0
		candidates, err := r.scan(ctx, everything)
		for _, c := range candidates {
			if !r.sel.covers(c) {
				continue
			}
			d := Decision{Candidate: c}
			if d.Outcome, d.Reason = c.Unusable(); d.Outcome == "" {
				d.Action, d.Outcome, d.Reason = rotator.JudgeReseal(r.clock.Now(), c.Credential, r.sel.NewestKey)
			}
			plan = append(plan, d)
		}
		return plan, err
	})
}

// resealAll processes the records as workers become free. Records not started before an
// interrupt are deferred.
func (r *run) resealAll(ctx context.Context, jobs []*job) {
	parallel(r.Workers, len(jobs), func(i int) {
		j := jobs[i]
		j.result = rotator.Result{Credential: j.Credential, Outcome: rotator.Deferred, Err: errInterrupted}
		if ctx.Err() == nil {
			ctx, cancel := r.graceful(ctx)
			defer cancel()
			j.result = r.rotator.Reseal(ctx, j.Credential, r.sel.NewestKey)
		}
		r.report(j)
	})
}

// Rollback restores an earlier password of the tenant with a name, see [Selection.Select]
// and [Rotator.Rollback]. It reads the fleet first, because a password is pushed. An error
// means that nothing was started.
func (s *Sweep) Rollback(ctx context.Context, name string, version int) (row Row, err error) {
	var o operation // it starts when the tenant is known
	if err := o.sel.Select(name); err != nil {
		return row, err
	}
	err = s.inRun(ctx, o, func(r *run) error {
		c, err := r.unrivalled(ctx)
		if err != nil {
			return err
		}
		ctx, cancel := r.graceful(ctx)
		defer cancel()
		result, err := r.rotator.Rollback(ctx, c.Credential, version, true)
		if err != nil {
			return err
		}
		j := &job{Decision: &Decision{Candidate: c, Action: rotator.Rotate}, result: result}
		r.report(j)
		row = r.row(j)
		return nil
	})
	return row, err
}

// unrivalled reads the fleet for the one tenant of the selection, to which a password
// will be pushed.
func (r *run) unrivalled(ctx context.Context) (rotator.Candidate, error) {
	candidates, err := r.scan(ctx, everything)
	if err != nil {
		return rotator.Candidate{}, err
	}
	tenant := string(r.sel.Tenants[0])
	i := slices.IndexFunc(candidates, func(c rotator.Candidate) bool { return c.Name == tenant })
	c := candidates[i] // a scan returns the requested tenant
	r.Observe.Notify(rotator.Event{Name: rotator.RollbackStarted, Tenant: tenant, User: c.Credential.Username})
	rivals := duplicateUsers(candidates)[rotator.UserKey(c)]
	switch {
	case c.Err != nil:
		return c, fmt.Errorf("tenant %s: %w", tenant, c.Err)
	case rivals > 1:
		return c, fmt.Errorf("tenant %s: %w", tenant, rotator.DuplicateUser(c, rivals))
	}
	return c, c.Unlisted
}
