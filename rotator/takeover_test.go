package rotator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// attempt rotates what is due and finishes what is pending, as the named owner, without
// insist.
func (h *fixture) attempt(t *testing.T, owner string) rotator.Result {
	t.Helper()
	return h.take(t, owner, false)
}

func (h *fixture) take(t *testing.T, owner string, insist bool) (result rotator.Result) {
	t.Helper()
	doc, err := h.store.Read(t.Context(), tenantA)
	if err != nil {
		t.Fatal(err)
	}
	c, err := rotator.ParseCredential(tenantA, doc, rotatortest.Policy(t, "180_days"))
	if err != nil {
		t.Fatal(err)
	}
	judge := func(c rotator.Credential) (rotator.Action, string) {
		switch {
		case c.Pending != nil:
			return rotator.Finish, ""
		case c.Due(h.clock.Now()):
			return rotator.Rotate, ""
		}
		return rotator.Leave, "not due"
	}
	rotatortest.Survive(func() { result = h.process(owner).Rotate(context.Background(), c, judge, insist) })
	return result
}

// meet gives the nth call of one kind from now on, counted from 1, a fault.
func (h *fixture) meet(op rotatortest.Op, nth int, fault func() rotatortest.Fault) {
	seen := 0
	hook := func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == op {
			if seen++; seen == nth {
				return fault()
			}
		}
		return rotatortest.Fault{}
	}
	h.store.Hook, h.mailu.Hook = hook, hook
}

func (h *fixture) undisturbed() { h.store.Hook, h.mailu.Hook = nil, nil }

func crashBefore() rotatortest.Fault { return rotatortest.Fault{CrashBefore: true} }

func crashAfter() rotatortest.Fault { return rotatortest.Fault{CrashAfter: true} }

func mustBe(t *testing.T, result rotator.Result, want rotator.Outcome) {
	t.Helper()
	if result.Outcome != want {
		t.Fatalf("got %s (%v), want %s", result.Outcome, result.Err, want)
	}
}

func (h *fixture) mustHaveVersions(t *testing.T, want int) {
	t.Helper()
	if _, version := h.store.Get(tenantA); version != want {
		t.Errorf("the record is at version %d, want %d", version, want)
	}
}

func TestTakeoverResumesWithPendingPassword(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.undisturbed()
	h.clock.Advance(ttl)

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Finished)
	if h.made != 1 || h.mailu.Password(userA) != "password 1" {
		t.Errorf("%d passwords made, Mailu accepts %q", h.made, h.mailu.Password(userA))
	}
	h.mustHaveVersions(t, 4) // prepare, take-over, commit
	h.checkAtRest(t)
}

func TestTakeoverOnlyCommitsWhereMailuHasThePassword(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashAfter)
	h.attempt(t, "first")
	h.undisturbed()
	h.clock.Advance(ttl)

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Finished)
	if h.mailu.Sets() != 1 {
		t.Errorf("pushed %d times", h.mailu.Sets())
	}
	h.mustHaveVersions(t, 3) // prepare, commit
	h.checkAtRest(t)
}

func TestAClaimIsRespectedToItsVeryEnd(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashAfter)
	h.attempt(t, "first")
	h.undisturbed()

	h.clock.Advance(ttl - time.Millisecond)
	before := h.attempt(t, "second")
	h.clock.Advance(time.Millisecond)
	after := h.attempt(t, "second")

	mustBe(t, before, rotator.Claimed)
	mustBe(t, after, rotator.Finished)
}

// An earlier attempt's last write may still be in transit, and must not take effect
// during the push.
func TestAProcessWritesItsClaimAgainBeforeItPushesOnceMore(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.undisturbed()

	result := h.attempt(t, "first")

	mustBe(t, result, rotator.Finished)
	h.mustHaveVersions(t, 4) // prepare, claim, commit
	h.checkAtRest(t)
}

func TestAnOwnClaimThatIsNearlyOverIsRenewedBeforeThePush(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.undisturbed()
	h.clock.Advance(ttl / 2)

	result := h.attempt(t, "first")

	mustBe(t, result, rotator.Finished)
	h.mustHaveVersions(t, 4)
}

func TestTakeoversAreBounded(t *testing.T) {
	h := newFixture(t)
	h.mailu.Hook = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpSetPassword {
			return rotatortest.Fault{Before: rotatortest.ErrLost}
		}
		return rotatortest.Fault{}
	}
	for i := range 7 {
		mustBe(t, h.attempt(t, fmt.Sprint("process ", i)), rotator.Unfinished)
		h.clock.Advance(ttl)
	}

	result := h.attempt(t, "another one")

	mustBe(t, result, rotator.Stuck)
	h.mustHaveVersions(t, 1+1+6) // prepare and six take-overs leave room in a history of ten
	if h.made != 1 {
		t.Errorf("%d passwords made", h.made)
	}
}

// stuck has a rotation with the maximum number of take-overs.
func stuck(t *testing.T) *fixture {
	t.Helper()
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.undisturbed()
	h.clock.Advance(ttl)
	h.store.Edit(tenantA, func(fields map[string]any) { fields["pending"].(map[string]any)["takeovers"] = 6 })
	return h
}

func TestAStuckRotationIsNotPushed(t *testing.T) {
	h := stuck(t)

	result := h.attempt(t, "another one")

	mustBe(t, result, rotator.Stuck)
	h.mustHaveVersions(t, 3)
	if h.mailu.Sets() != 0 {
		t.Errorf("%d pushes", h.mailu.Sets())
	}
}

func TestNamingTheTenantLiftsTheBound(t *testing.T) {
	h := stuck(t)

	result := h.take(t, "operator's run", true)

	mustBe(t, result, rotator.Finished)
	h.checkAtRest(t)
}

func TestAStuckRotationIsFinishedOnceMailuHoldsItsPassword(t *testing.T) {
	h := stuck(t)
	h.mailu.AddUser(userA, "password 1")

	result := h.attempt(t, "another one")

	mustBe(t, result, rotator.Finished)
	h.checkAtRest(t)
}

func TestWhileMailuDoesNotAnswerATakeoverCostsNoVersion(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.clock.Advance(ttl)
	h.meet(rotatortest.OpVerify, 1, func() rotatortest.Fault { return rotatortest.Fault{Before: rotatortest.ErrLost} })

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Unfinished)
	h.mustHaveVersions(t, 2)
}

func TestAPendingPasswordThatDoesNotOpenIsLeftAsItIs(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.undisturbed()
	h.clock.Advance(ttl)
	h.store.Edit(tenantA, func(fields map[string]any) {
		fields["pending"].(map[string]any)["key_version"] = 9
	})

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Unfinished)
	h.mustHaveVersions(t, 3)
	if h.mailu.Sets() != 0 {
		t.Errorf("%d pushes", h.mailu.Sets())
	}
}

func TestAPendingPasswordWithoutKeyVersionIsFinishedWithoutOne(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.undisturbed()
	h.clock.Advance(ttl)
	h.store.Edit(tenantA, func(fields map[string]any) {
		fields["key_version"] = json.Number("9") // of the removed password
		delete(fields["pending"].(map[string]any), "key_version")
	})

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Finished)
	if fields, _ := h.store.Get(tenantA); fields["key_version"] != nil {
		t.Errorf("key_version is %v, and nobody knows which it was", fields["key_version"])
	}
	h.checkAtRest(t)
}

// What was unknown about the pushes of the finished password is not unknown about those
// of the next one.
func TestARefusedPasswordAfterAFinishedOneIsAbandoned(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashAfter)
	h.rotate(t, "dead")
	h.clock.Advance(ttl)
	h.mailu.Hook = rotatortest.On(rotatortest.OpSetPassword, rotatortest.Fault{Before: rotator.ErrRefused})

	result := h.rotate(t, "next") // finishes the first, and asks for a second

	mustBe(t, result, rotator.Refused)
	if result.Credential.Pending != nil {
		t.Error("the refused password is still pending")
	}
	h.checkAtRest(t)
}

func TestAFinishedPasswordThatIsStillDueIsFollowedByAnother(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashAfter)
	h.attempt(t, "first")
	h.undisturbed()
	h.clock.Advance(180 * 24 * time.Hour)

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Rotated)
	if h.made != 2 || h.mailu.Password(userA) != "password 2" {
		t.Errorf("%d passwords made, Mailu accepts %q", h.made, h.mailu.Password(userA))
	}
	h.checkAtRest(t)
}

// claim writes another claim into the pending field, as a process of that name does.
func (h *fixture) claim(owner string, left time.Duration) {
	h.store.Edit(tenantA, func(fields map[string]any) {
		pending := fields["pending"].(map[string]any)
		pending["owner"], pending["claimed_until"] = owner, h.clock.Now().Add(left)
	})
}

// Another process had the claim between two of ours, and may have pushed.
func TestARefusalAfterTheClaimWasLostAbandonsNothing(t *testing.T) {
	for name, late := range map[string]bool{"it lapsed": false, "it lapsed, and an earlier write of ours came late": true} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			writes := 0
			h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
				if c.Op != rotatortest.OpWrite {
					return rotatortest.Fault{}
				}
				switch writes++; {
				case writes == 1:
					h.clock.Advance(ttl) // our claim is over
				case writes == 2:
					h.claim("another process", 0)
				case writes == 3 && late:
					h.claim("daemon", ttl)
				}
				return rotatortest.Fault{}
			}
			h.mailu.Hook = rotatortest.On(rotatortest.OpSetPassword, rotatortest.Fault{Before: rotator.ErrRefused})

			result := h.attempt(t, "daemon")

			mustBe(t, result, rotator.Unfinished)
			if held := h.accepted(t); len(held) != 2 {
				t.Errorf("Vault holds %q", held)
			}
		})
	}
}

// The push of the first attempt may still take effect.
func TestARefusalInALaterAttemptAbandonsNothing(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, func() rotatortest.Fault { return rotatortest.Fault{Before: rotatortest.ErrLost} })
	mustBe(t, h.attempt(t, "daemon"), rotator.Unfinished)
	h.mailu.Hook = rotatortest.On(rotatortest.OpSetPassword, rotatortest.Fault{Before: rotator.ErrRefused})

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
	if held := h.accepted(t); len(held) != 2 {
		t.Errorf("Vault holds %q", held)
	}
}

// While the refusal was on its way another process took the rotation over.
func TestAnAbandonmentStopsAtAnotherClaim(t *testing.T) {
	h := newFixture(t)
	h.mailu.Hook = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpSetPassword {
			h.claim("another process", ttl)
			return rotatortest.Fault{Before: rotator.ErrRefused}
		}
		return rotatortest.Fault{}
	}

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
	if held := h.accepted(t); len(held) != 2 {
		t.Errorf("Vault holds %q", held)
	}
}

func TestAClaimIsRenewedOnceHalfOfItIsOver(t *testing.T) {
	for spent, versions := range map[time.Duration]int{ttl/2 - time.Second: 3, ttl / 2: 4} {
		h := newFixture(t)
		h.meet(rotatortest.OpWrite, 1, func() rotatortest.Fault {
			h.clock.Advance(spent)
			return rotatortest.Fault{}
		})

		result := h.attempt(t, "daemon")

		mustBe(t, result, rotator.Rotated)
		h.mustHaveVersions(t, versions)
	}
}

// The pending password is gone, and the current one is still due.
func TestATakeoverThatComesTooLateRotates(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.clock.Advance(ttl)
	h.meet(rotatortest.OpVerify, 1, func() rotatortest.Fault {
		h.store.Edit(tenantA, func(fields map[string]any) { delete(fields, "pending") })
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Rotated)
	if h.made != 2 || h.mailu.Password(userA) != "password 2" {
		t.Errorf("%d passwords made, Mailu accepts %q", h.made, h.mailu.Password(userA))
	}
	h.checkAtRest(t)
}

// Another process has finished it, and has begun another rotation.
func TestATakeoverLeavesTheNextRotationAlone(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.clock.Advance(ttl)
	theirs := h.seal(t, meanwhile, "theirs")
	h.meet(rotatortest.OpVerify, 1, func() rotatortest.Fault {
		h.store.Edit(tenantA, func(fields map[string]any) {
			fields["pending"].(map[string]any)["password"] = theirs
			fields["pending"].(map[string]any)["last_rotated"] = meanwhile
		})
		h.claim("another process", ttl)
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Fresh)
	if h.mailu.Sets() != 0 {
		t.Errorf("%d pushes", h.mailu.Sets())
	}
}
