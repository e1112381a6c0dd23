package monitor

import (
	"testing"
	"time"

	"mailu-rotator/rotator"
)

func TestTenantsAreCountedByHowTheyStandNow(t *testing.T) {
	w := watch(t)
	w.cache.Replace([]rotator.Status{
		aged(t, t1, day), aged(t, t2, 30*day+time.Hour), aged(t, t3, 40*day), aged(t, t4, day, invalid),
		aged(t, "5", day, pendingFor(time.Hour)), aged(t, "6", 400*day, manual), aged(t, "", 0, foreign),
	})

	w.want(t, map[string]float64{
		`tenants{state="ok"}`: 2, `tenants{state="due"}`: 1, `tenants{state="overdue"}`: 1,
		`tenants{state="invalid"}`: 1, `tenants{state="pending"}`: 1, `tenants{state="ignored"}`: 1,
	})

	w.clock.Advance(29 * day) // only time passed
	w.want(t, map[string]float64{`tenants{state="ok"}`: 1, `tenants{state="due"}`: 1, `tenants{state="overdue"}`: 2})
}

func TestAgesAreThoseOfTheOldest(t *testing.T) {
	w := watch(t)
	w.cache.Replace([]rotator.Status{
		aged(t, t1, day), aged(t, t2, 40*day), aged(t, t3, 400*day, manual), aged(t, t4, 2*day, pendingFor(3*time.Hour)),
	})
	w.clock.Advance(time.Hour)

	w.want(t, map[string]float64{
		`oldest_age_seconds`:          (40*day + time.Hour).Seconds(),
		`next_due_timestamp_seconds`:  seconds(noon.Add(-10 * day)),
		`oldest_pending_age_seconds`:  (4 * time.Hour).Seconds(),
		`last_scan_timestamp_seconds`: seconds(noon),
	})
}

func TestATenantOfNoTimeIsInNoNumberOfAges(t *testing.T) {
	w := watch(t)
	asked := scope(t)
	asked.TenantLabel = true
	w.Renew(asked)
	zero := rotator.Candidate{Name: t1, Credential: rotator.Credential{Tenant: t1, Policy: aged(t, t1, 0).Policy, LastRotated: "0001-01-01T00:00:00Z"}}
	zero.Credential.Pending = &rotator.Pending{LastRotated: "0001-01-01T00:00:00Z", Claim: rotator.Claim{Until: noon}}
	w.cache.Replace([]rotator.Status{rotator.StatusOf(noon, zero, 1), aged(t, t2, day)})

	w.want(t, map[string]float64{
		`oldest_age_seconds`:         day.Seconds(),
		`next_due_timestamp_seconds`: seconds(noon.Add(29 * day)),
		`oldest_pending_age_seconds`: 0,
	})
	for _, family := range []string{"tenant_due_timestamp_seconds", "tenant_password_timestamp_seconds"} {
		w.wantNone(t, family+`{origin="",tenant="`+t1+`"}`)
	}
}

func TestNothingIsSaidOfTenantsBeforeTheFirstSurvey(t *testing.T) {
	w := watch(t)

	w.wantNone(t, `tenants{state="ok"}`, `oldest_age_seconds`, `next_due_timestamp_seconds`, `oldest_pending_age_seconds`, `records_expiring`)
	w.want(t, map[string]float64{`last_scan_timestamp_seconds`: 0})
}

func TestAFleetWithoutAgesHasNoOldest(t *testing.T) {
	w := watch(t)
	w.cache.Replace([]rotator.Status{aged(t, t1, day, manual)})

	w.wantNone(t, `oldest_age_seconds`, `next_due_timestamp_seconds`)
	w.want(t, map[string]float64{`tenants{state="ok"}`: 1, `oldest_pending_age_seconds`: 0})
}

func TestRecordsThatDeleteThemselvesAreCounted(t *testing.T) {
	w := watch(t)
	in := func(d time.Duration) func(*rotator.Status) {
		return func(s *rotator.Status) { s.Expires = noon.Add(d) }
	}
	w.cache.Replace([]rotator.Status{
		aged(t, t1, day), aged(t, t2, day, in(time.Hour)), aged(t, t3, day, in(30*day)), aged(t, t4, day, in(90*day)), // of a policy of 30 days
		aged(t, "5", 400*day, manual, in(90*day)),
	})
	w.want(t, map[string]float64{`records_expiring`: 3})

	corrected := aged(t, t2, day)
	w.tell(rotator.Event{Name: rotator.TenantDone, Tenant: t2, Origin: serverA, Outcome: rotator.Rotated, Status: &corrected})

	w.want(t, map[string]float64{`records_expiring`: 2})
}

func TestProofsAreAsOldAsTheOldest(t *testing.T) {
	w := watch(t)
	asked := scope(t)
	asked.TenantLabel = true
	w.Renew(asked)
	w.cache.Replace([]rotator.Status{aged(t, t1, day), aged(t, t2, day), aged(t, "", 0, foreign)})
	w.want(t, map[string]float64{`oldest_proof_timestamp_seconds`: 0})

	verify := func(tenants ...string) {
		w.tell(rotator.Event{Name: rotator.VerificationStarted})
		for _, tenant := range tenants {
			w.tell(rotator.Event{Name: rotator.TenantVerified, Tenant: tenant, Origin: serverA, State: rotator.StateOK})
		}
		w.tell(rotator.Event{Name: rotator.VerificationFinished})
	}
	verify(t1)
	w.want(t, map[string]float64{`oldest_proof_timestamp_seconds`: 0}) // the second never was

	verify(t1, t2)
	w.want(t, map[string]float64{`oldest_proof_timestamp_seconds`: seconds(noon)})

	w.clock.Advance(time.Hour)
	proven := aged(t, t1, 0)
	proven.Proof = true
	w.tell(rotator.Event{Name: rotator.TenantDone, Tenant: t1, Origin: serverA, Outcome: rotator.Rotated, Status: &proven})

	w.want(t, map[string]float64{
		`oldest_proof_timestamp_seconds`: seconds(noon), // of the second
		`tenant_proven_timestamp_seconds{origin="https://mail.a.example",tenant="` + t1 + `"}`: seconds(noon.Add(time.Hour)),
		`tenant_proven_timestamp_seconds{origin="https://mail.a.example",tenant="` + t2 + `"}`: seconds(noon),
	})
}

func TestBreakersAreClosedUntilTheyAreNot(t *testing.T) {
	w := watch(t)
	w.want(t, map[string]float64{
		`breaker_state{origin="https://mail.a.example",state="closed"}`:  1,
		`breaker_state{origin="https://mail.a.example",state="stopped"}`: 0,
	})

	w.tell(rotator.Event{Name: rotator.ServerStopped, Origin: serverA, Err: errFault}, rotator.Event{Name: rotator.ServerPaused, Origin: serverB, Err: errFault})

	w.want(t, map[string]float64{
		`breaker_state{origin="https://mail.a.example",state="closed"}`:  0,
		`breaker_state{origin="https://mail.a.example",state="stopped"}`: 1,
		`breaker_state{origin="https://mail.b.example",state="paused"}`:  1,
		`breaker_state{origin="https://mail.b.example",state="stopped"}`: 0,
	})
}

// It stays over the next runs, until one logs in there.
func TestTheLastLoginAtAServer(t *testing.T) {
	w := watch(t)
	w.wantNone(t, `login_state{origin="https://mail.a.example",state="accepted"}`)

	w.tell(
		rotator.Event{Name: rotator.LoginWasRefused, Origin: serverA, Err: errFault},
		rotator.Event{Name: rotator.LoginWasNotPossible, Origin: "https://not.listed.example", Err: errFault},
		rotator.Event{Name: rotator.SweepPlanned},
	)
	w.want(t, map[string]float64{
		`login_state{origin="https://mail.a.example",state="accepted"}`:     0,
		`login_state{origin="https://mail.a.example",state="refused"}`:      1,
		`login_state{origin="https://mail.a.example",state="not possible"}`: 0,
	})
	w.wantNone(t, `login_state{origin="https://mail.b.example",state="accepted"}`, `login_state{origin="https://not.listed.example",state="not possible"}`)

	w.tell(rotator.Event{Name: rotator.LoginWasAccepted, Origin: serverA})
	w.want(t, map[string]float64{
		`login_state{origin="https://mail.a.example",state="accepted"}`: 1,
		`login_state{origin="https://mail.a.example",state="refused"}`:  0,
	})
}

func TestFindingsLastUntilARotation(t *testing.T) {
	w := watch(t)
	w.cache.Replace([]rotator.Status{aged(t, t1, day), aged(t, t2, day), aged(t, t3, day)})
	w.tell(
		rotator.Event{Name: rotator.TenantVerified, Tenant: t1, State: rotator.StateDrift, Err: errFault},
		rotator.Event{Name: rotator.TenantVerified, Tenant: t2, State: rotator.StateDrift, Err: errFault},
		rotator.Event{Name: rotator.TenantVerified, Tenant: t3, State: rotator.StateOK},
		rotator.Event{Name: rotator.VerificationFinished, Count: 2},
	)
	w.want(t, map[string]float64{`findings{state="drift"}`: 2, `findings{state="ok"}`: 1})

	w.clock.Advance(time.Hour)
	w.tell(
		rotator.Event{Name: rotator.TenantDone, Tenant: t1, Origin: serverA, Outcome: rotator.Rotated},
		rotator.Event{Name: rotator.TenantDone, Tenant: t2, Origin: serverA, Outcome: rotator.Refused, Err: errFault},
	)
	w.want(t, map[string]float64{`findings{state="drift"}`: 1, `findings{state="ok"}`: 1})
}

// A 0 would resolve an alert at each restart.
func TestNoFindingsBeforeAVerificationHasEnded(t *testing.T) {
	w := watch(t)
	w.cache.Replace([]rotator.Status{aged(t, t1, day)})
	w.wantNone(t, `findings{state="drift"}`, `findings{state="ok"}`)

	w.tell(rotator.Event{Name: rotator.VerificationStarted}, rotator.Event{Name: rotator.TenantVerified, Tenant: t1, State: rotator.StateOK})
	w.wantNone(t, `findings{state="drift"}`, `findings{state="ok"}`)
	w.tell(rotator.Event{Name: rotator.VerificationInterrupted})
	w.wantNone(t, `findings{state="drift"}`)

	w.tell(rotator.Event{Name: rotator.VerificationFinished})
	w.want(t, map[string]float64{`findings{state="drift"}`: 0, `findings{state="unknown user"}`: 0, `findings{state="ok"}`: 1})
}

func TestARecoveryLeavesTheBreakersAsTheyAre(t *testing.T) {
	w := watch(t)
	w.tell(rotator.Event{Name: rotator.ServerStopped, Origin: serverA, Err: errFault})

	w.tell(rotator.Event{Name: rotator.RecoveryStarted}, rotator.Event{Name: rotator.RecoveryPlanned}, rotator.Event{Name: rotator.RecoveryFinished})
	w.want(t, map[string]float64{`breaker_state{origin="https://mail.a.example",state="stopped"}`: 1})

	w.tell(rotator.Event{Name: rotator.SweepStarted}, rotator.Event{Name: rotator.SweepPlanned})
	w.want(t, map[string]float64{`breaker_state{origin="https://mail.a.example",state="stopped"}`: 0})
}

func TestNextRunsAreTold(t *testing.T) {
	w := watch(t)
	w.want(t, map[string]float64{`next_run_timestamp_seconds{task="sweep"}`: 0})

	w.tell(rotator.Event{Name: rotator.TickScheduled, Wait: time.Hour})

	w.want(t, map[string]float64{
		`next_run_timestamp_seconds{task="sweep"}`:        seconds(noon) + 3600,
		`next_run_timestamp_seconds{task="verification"}`: 0,
	})
}

func TestTenantLabelAddsSeriesOfTenantsAndOfNothingElse(t *testing.T) {
	w := watch(t)
	asked := scope(t)
	asked.TenantLabel = true
	w.Renew(asked)
	w.cache.Replace([]rotator.Status{aged(t, t1, 40*day), aged(t, t2, day, manual), aged(t, "", 0, foreign)})

	of1, of2 := `{origin="https://mail.a.example",tenant="`+t1+`"}`, `{origin="https://mail.a.example",tenant="`+t2+`"}`
	w.want(t, map[string]float64{
		`tenant_state{origin="https://mail.a.example",state="overdue",tenant="` + t1 + `"}`: 1,
		`tenant_state{origin="https://mail.a.example",state="ok",tenant="` + t2 + `"}`:      1,
		`tenant_password_timestamp_seconds` + of1:                                           seconds(noon.Add(-40 * day)),
		`tenant_due_timestamp_seconds` + of1:                                                seconds(noon.Add(-10 * day)),
	})
	w.wantNone(t, `tenant_due_timestamp_seconds`+of2)
	if n := len(w.gather(t)["mailu_rotator_tenant_state"].GetMetric()); n != 2 {
		t.Errorf("%d tenants, want 2", n)
	}
}
