package sweep_test

import (
	"net/http"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/test/faultproxy"
)

// Every fault of the protocol, by name, on a real Vault and a Mailu-compatible server.
// Only the clock is simulated.

func TestAnswerThatIsLostCostsNoSecondPassword(t *testing.T) {
	push := func(kind mailutest.Kind, status int) func(*ground) {
		return func(g *ground) {
			g.mailu.Inject(mailutest.Fault{Kind: kind, Method: http.MethodPatch, Status: status})
		}
	}
	write := func(n int) func(*ground) {
		return func(g *ground) {
			g.proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetAfter, Match: g.write(n, nil), Times: 1})
		}
	}
	for name, lose := range map[string]func(*ground){
		"to prepare":                         write(1),
		"to the push":                        push(mailutest.ResetAfter, 0),
		"to commit":                          write(2),
		"a server error after the effect":    push(mailutest.StatusAfter, http.StatusInternalServerError),
		"a proxy's refusal after the effect": push(mailutest.StatusAfter, http.StatusBadRequest), // even in Mailu's own form
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			lose(g)

			row := g.sweep(t, "A")

			g.mustBe(t, row, rotator.Rotated)
			g.mustHaveRotated(t)
			g.mustHaveMade(t, 1)
		})
	}
}

func TestCommitNeverArrives(t *testing.T) {
	g := newGround(t)
	written := 0
	g.proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore, Match: func(r *http.Request) bool {
		if r.Method == http.MethodPut {
			written++
		}
		return r.Method == http.MethodPut && written > 1
	}})

	row := g.sweep(t, "A")
	g.mustBe(t, row, rotator.Unfinished)
	g.mustAccept(t, false)
	pushes := g.mailu.PasswordSets(realUser)

	g.mustRollForward(t)
	if again := g.mailu.PasswordSets(realUser); again != pushes {
		t.Fatalf("Mailu held the password already and was sent it %d times more", again-pushes)
	}
}

func TestPushRefusedIsAbandoned(t *testing.T) {
	g := newGround(t)
	g.mailu.Inject(mailutest.Fault{Kind: mailutest.Status, Method: http.MethodPatch, Status: http.StatusBadRequest})

	row := g.sweep(t, "A")

	g.mustBe(t, row, rotator.Refused)
	g.mustAccept(t, true)
	if !g.mailu.Accepts(realUser, oldPass) {
		t.Fatal("the old password does not work any more")
	}
}

func TestUnknownUserCostsNoVersion(t *testing.T) {
	g := newGround(t)
	_, before, err := g.vault.Get(t.Context(), g.path)
	must(t, err)
	g.mailu.DeleteUser(realUser)

	row := g.sweep(t, "A")

	g.mustBe(t, row, rotator.Failed)
	if _, after, err := g.vault.Get(t.Context(), g.path); err != nil || after != before {
		t.Fatalf("version %d became %d (%v)", before, after, err)
	}
}

func TestPushOfUnknownOutcomeRollsForward(t *testing.T) {
	g := newGround(t)
	g.mailu.Inject(mailutest.Fault{Kind: mailutest.ResetBefore, Method: http.MethodPatch})

	row := g.sweep(t, "A")
	g.mustBe(t, row, rotator.Unfinished)
	g.mustAccept(t, false)

	g.mustRollForward(t)
}

func TestPushThatTakesEffectLate(t *testing.T) {
	g := newGround(t)
	g.mailu.Inject(mailutest.Fault{Kind: mailutest.LateEffect, Method: http.MethodPatch, Status: http.StatusGatewayTimeout, Delay: 300 * time.Millisecond})

	row := g.sweep(t, "A")
	g.mailu.ClearFaults()
	g.mailu.Settle()
	g.mustAccept(t, false)

	if row.Outcome.Failure() { // it gave up before the effect
		g.clock.Advance(realTTL)
		g.mustBe(t, g.sweep(t, "B"), rotator.Finished)
	}
	g.mustHaveRotated(t)
	g.mustHaveMade(t, 1)
}

func TestSuccessWithoutEffectIsNotCommitted(t *testing.T) {
	g := newGround(t)
	g.mailu.Inject(mailutest.Fault{Kind: mailutest.Lie, Method: http.MethodPatch})

	row := g.sweep(t, "A")

	g.mustBe(t, row, rotator.Unfinished)
	g.mustAccept(t, false)
	if current, _ := g.held(t); current != oldPass {
		t.Fatal("Vault names a password current that Mailu does not hold")
	}
}

func TestOperatorEditsAnotherField(t *testing.T) {
	g := newGround(t)
	g.proxy.Inject(faultproxy.Fault{Kind: faultproxy.Delay, Times: 1, Match: g.write(2, func() {
		g.edit(t, func(fields map[string]any) { fields["contact"] = "ops" })
	})})

	row := g.sweep(t, "A")

	g.mustBe(t, row, rotator.Rotated)
	g.mustHaveRotated(t)
	if g.record(t)["contact"] != "ops" {
		t.Fatal("the operator's edit is lost")
	}
}

func TestOperatorOverwritesThePendingPassword(t *testing.T) {
	g := newGround(t)
	before := g.record(t)
	g.proxy.Inject(faultproxy.Fault{Kind: faultproxy.Delay, Times: 1, Match: g.write(2, func() {
		g.put(t, before) // from an old copy, without pending
	})})

	row := g.sweep(t, "A")

	g.mustBe(t, row, rotator.Rotated)
	g.mustHaveRotated(t)
}

func TestOperatorsOwnPasswordStandsWhereMailuHoldsIt(t *testing.T) {
	g := newGround(t)
	const theirs = "set by an operator"
	g.proxy.Inject(faultproxy.Fault{Kind: faultproxy.Delay, Times: 1, Match: g.write(2, func() {
		g.mailu.AddUser(realUser, theirs)
		g.edit(t, func(fields map[string]any) {
			delete(fields, "pending")
			fields["password"] = g.seal(t, fields["last_rotated"].(string), theirs)
		})
	})})

	row := g.sweep(t, "A")

	g.mustBe(t, row, rotator.Fresh)
	g.mustAccept(t, true)
	if current, _ := g.held(t); current != theirs {
		t.Fatal("the operator's password is not current")
	}
}

func TestLiveClaimBelongsToItsOwner(t *testing.T) {
	g := newGround(t)
	g.pendingOf(t, "somebody else", g.clock.Now().Add(100*realTTL))

	row := g.sweep(t, "B")

	g.mustBe(t, row, rotator.Claimed)
	if g.mailu.PasswordSets(realUser) != 0 {
		t.Fatal("a password was pushed under somebody else's claim")
	}
}

func TestLapsedClaimIsTakenOverWithItsPassword(t *testing.T) {
	g := newGround(t)
	pending := g.pendingOf(t, "a dead process", g.clock.Now())

	row := g.sweep(t, "B")

	g.mustBe(t, row, rotator.Finished)
	g.mustHaveRotated(t)
	g.mustHaveMade(t, 0)
	if !g.mailu.Accepts(realUser, pending) {
		t.Fatal("another password than the pending one was pushed")
	}
}

func TestTwoProcessesRotateOnce(t *testing.T) {
	g := newGround(t)
	rows := make(chan sweep.Row, 2)

	for _, owner := range []string{"daemon", "run-now"} {
		go func() { rows <- g.sweep(t, owner) }()
	}
	first, second := <-rows, <-rows

	g.mustHaveRotated(t)
	rotated := 0
	for _, row := range []sweep.Row{first, second} {
		if row.Outcome == rotator.Rotated || row.Outcome == rotator.Finished {
			rotated++
		}
	}
	if sets := g.mailu.PasswordSets(realUser); rotated == 0 || sets != 1 {
		t.Fatalf("%s and %s; Mailu was set a password %d times, want 1", first.Outcome, second.Outcome, sets)
	}
}

func TestDeletedMidWay(t *testing.T) {
	g := newGround(t)
	g.proxy.Inject(faultproxy.Fault{Kind: faultproxy.Delay, Times: 1, Match: g.write(2, func() {
		client, err := g.vault.Client()
		must(t, err)
		_, err = client.Logical().DeleteWithContext(t.Context(), "vault/metadata/"+g.path)
		must(t, err)
	})})

	row := g.sweep(t, "A")

	if !row.Outcome.Failure() {
		t.Fatalf("outcome %s (%s), want a failure", row.Outcome, row.Reason)
	}
	if _, _, err := g.vault.Get(t.Context(), g.path); err == nil {
		t.Fatal("a deleted tenant came back")
	}
}

// mustRollForward lets the faults end and the claim expire: another process then
// finishes with the existing password.
func (g *ground) mustRollForward(t *testing.T) {
	t.Helper()
	g.proxy.Clear()
	g.mailu.ClearFaults()
	g.clock.Advance(realTTL)
	g.mustBe(t, g.sweep(t, "B"), rotator.Finished)
	g.mustHaveRotated(t)
	g.mustHaveMade(t, 1)
}

// pendingOf leaves a half-finished rotation whose password Mailu has not seen.
func (g *ground) pendingOf(t *testing.T, owner string, until time.Time) string {
	t.Helper()
	const password = "Pending-password-0123456789"
	made := g.clock.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	g.edit(t, func(fields map[string]any) {
		fields["pending"] = map[string]any{
			"password": g.seal(t, made, password), "last_rotated": made, "key_version": 1,
			"owner": owner, "claimed_until": until.UTC().Format(time.RFC3339),
		}
	})
	return password
}
