package rotator

import (
	"context"
	"time"
)

// VerifyReport is the result of one run of Verify.
type VerifyReport struct {
	Started  time.Time
	Finished time.Time
	Findings []Finding // in the order of the list
}

// Problems is the number of findings that need attention.
func (v VerifyReport) Problems() int {
	n := 0
	for _, f := range v.Findings {
		if f.Problem() {
			n++
		}
	}
	return n
}

// Count is the number of findings with the state.
func (v VerifyReport) Count(s State) int {
	n := 0
	for _, f := range v.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// Verify asks, for every selected tenant, whether Mailu accepts what Vault holds.
// Without repair it writes nothing. With repair it finishes a half-finished rotation,
// makes a password current again that Mailu holds and only Vault's history has, and, if
// neither explains the drift, pushes Vault's current password, under a claim like any
// push.
func (s *Sweep) Verify(ctx context.Context, sel Selection, repair bool) (result VerifyReport, err error) {
	result.Started = s.Clock.Now()
	s.Observe.observe(Event{Name: VerificationStarted})
	defer func() {
		if err != nil && ctx.Err() != nil {
			s.Observe.observe(Event{Name: VerificationInterrupted})
		}
	}()
	r, err := s.open(ctx, sel)
	if err != nil {
		return result, err
	}
	defer r.keys.Wipe()
	candidates, users, err := r.surveyUsers(ctx, everything)
	if err != nil {
		return result, err
	}
	r.users = users
	rivals := sharedUsers(candidates)
	selected := candidates[:0]
	for _, c := range candidates {
		if sel.covers(c) {
			selected = append(selected, c)
		}
	}
	s.Observe.observe(Event{Name: VerificationPlanned, Count: len(selected)})
	result.Findings = r.inspect(ctx, selected, repair, rivals)
	if err := ctx.Err(); err != nil {
		return result, err
	}
	result.Finished = s.Clock.Now()
	s.Observe.observe(Event{Name: VerificationFinished, Count: result.Problems()})
	return result, nil
}
