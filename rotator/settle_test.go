package rotator_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

const meanwhile = "2026-11-23T03:00:00.500Z"

// overwrite is an operator who writes their own password into the record, as `vault kv
// put` does: pending is gone.
func (h *fixture) overwrite(t *testing.T, password string) {
	t.Helper()
	sealed := h.seal(t, meanwhile, password)
	h.store.Edit(tenantA, func(fields map[string]any) {
		fields["password"], fields["last_rotated"] = sealed, meanwhile
		delete(fields, "pending")
	})
}

func TestAnOperatorsPasswordMidwayGivesWayWhereMailuHoldsOurs(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpWrite, 2, func() rotatortest.Fault {
		h.overwrite(t, "the operator's")
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Rotated)
	if h.mailu.Password(userA) != "password 1" {
		t.Errorf("Mailu accepts %q", h.mailu.Password(userA))
	}
	h.checkAtRest(t)
}

func TestAnOperatorsPasswordMidwayStandsWhereMailuHoldsIt(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpWrite, 2, func() rotatortest.Fault {
		h.overwrite(t, "the operator's")
		h.mailu.AddUser(userA, "the operator's")
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Fresh)
	h.mustHaveVersions(t, 3) // prepare and the operator's
	h.checkAtRest(t)
}

func TestAnOperatorsPasswordBesideOurPendingOneStandsWhereMailuHoldsIt(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpWrite, 2, func() rotatortest.Fault {
		sealed := h.seal(t, meanwhile, "the operator's")
		h.store.Edit(tenantA, func(fields map[string]any) { fields["password"], fields["last_rotated"] = sealed, meanwhile })
		h.mailu.AddUser(userA, "the operator's")
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Fresh)
	h.checkAtRest(t) // without the pending one
}

func TestOursIsPutBackBesideAnOperatorsWhileMailuCannotBeAsked(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpWrite, 2, func() rotatortest.Fault {
		h.overwrite(t, "the operator's")
		h.meet(rotatortest.OpVerify, 1, func() rotatortest.Fault { return rotatortest.Fault{Before: rotatortest.ErrLost} })
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
	if known := h.accepted(t); len(known) != 2 || known[0] != "the operator's" || known[1] != "password 1" {
		t.Errorf("Vault holds %q", known)
	}

	h.undisturbed()
	mustBe(t, h.attempt(t, "second host"), rotator.Finished) // immediately: the claim was restored as expired
	h.checkAtRest(t)
}

func TestWhereMailuHoldsNeitherPasswordNothingIsWritten(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpWrite, 2, func() rotatortest.Fault {
		h.overwrite(t, "the operator's")
		h.mailu.AddUser(userA, "a third one")
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "daemon")

	h.mustHaveVersions(t, 3)
	if result.Err == nil || !strings.Contains(result.Err.Error(), "holds neither") {
		t.Errorf("got %s, %v", result.Outcome, result.Err)
	}
}

func TestOtherFieldsEditedMidwayAreKept(t *testing.T) {
	for write, name := range map[int]string{1: "at prepare", 2: "at commit"} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.meet(rotatortest.OpWrite, write, func() rotatortest.Fault {
				h.store.Edit(tenantA, func(fields map[string]any) {
					fields["ticket"], fields["rotation_policy"] = "OPS-1", "7_days"
				})
				return rotatortest.Fault{}
			})

			result := h.attempt(t, "daemon")

			mustBe(t, result, rotator.Rotated)
			if fields, _ := h.store.Get(tenantA); fields["ticket"] != "OPS-1" || fields["rotation_policy"] != "7_days" {
				t.Errorf("got %v", fields)
			}
			if h.made != 1 || h.mailu.Sets() != 1 {
				t.Errorf("%d passwords made, %d pushes", h.made, h.mailu.Sets())
			}
			h.checkAtRest(t)
		})
	}
}

func TestARecordThatNamesAnotherUserOrServerByNowIsNotPushedTo(t *testing.T) {
	tests := map[string]func(map[string]any){
		"user":   func(fields map[string]any) { fields["username"] = "other@a.example" },
		"server": func(fields map[string]any) { fields["webmail_url"] = "https://mail.b.example" },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.mailu.AddUser("other@a.example", "first password")
			h.meet(rotatortest.OpWrite, 1, func() rotatortest.Fault {
				h.store.Edit(tenantA, edit)
				return rotatortest.Fault{}
			})

			result := h.attempt(t, "daemon")

			mustBe(t, result, rotator.Failed)
			h.mustHaveVersions(t, 2) // the operator's edit and no write of ours
			if h.mailu.Sets() != 0 {
				t.Errorf("%d pushes", h.mailu.Sets())
			}
		})
	}
}

func TestARecordRetargetedAfterThePushKeepsItsPendingPassword(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpWrite, 2, func() rotatortest.Fault {
		h.store.Edit(tenantA, func(fields map[string]any) { fields["username"] = "other@a.example" })
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
	h.mustHaveVersions(t, 3)
	h.checkInvariant(t)
}

func TestACommitThatIsForbiddenIsLeftHalfFinished(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpWrite, 2, func() rotatortest.Fault { return rotatortest.Fault{Before: rotator.ErrForbidden} })

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
	h.checkInvariant(t)
}

func TestWhatAPushLeavesBehind(t *testing.T) {
	refused := fmt.Errorf("status 400: %w", rotator.ErrRefused)
	tests := []struct {
		name    string
		op      rotatortest.Op
		fault   rotatortest.Fault
		outcome rotator.Outcome
	}{
		{"refused for certain", rotatortest.OpSetPassword, rotatortest.Fault{Before: refused}, rotator.Refused},
		{"lost on the way", rotatortest.OpSetPassword, rotatortest.Fault{Before: rotatortest.ErrLost}, rotator.Unfinished},
		{"done, the answer lost", rotatortest.OpSetPassword, rotatortest.Fault{After: rotatortest.ErrLost}, rotator.Rotated},
		{"done, then the question lost", rotatortest.OpVerify, rotatortest.Fault{Before: rotatortest.ErrLost}, rotator.Unfinished},
		{"done, then the question refused", rotatortest.OpVerify, rotatortest.Fault{Before: refused}, rotator.Unfinished},
		{"done, then not to be verified", rotatortest.OpVerify, rotatortest.Fault{Before: rotator.ErrUnverifiable}, rotator.Unfinished},
		{"the question before it refused", rotatortest.OpKnows, rotatortest.Fault{Before: refused}, rotator.Failed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newFixture(t)
			h.meet(test.op, 1, func() rotatortest.Fault { return test.fault })

			result := h.attempt(t, "daemon")

			mustBe(t, result, test.outcome)
			h.checkInvariant(t)
			if test.outcome != rotator.Unfinished {
				h.checkAtRest(t)
			}
		})
	}
}

func TestARefusalAfterATakeoverAbandonsNothing(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpSetPassword, 1, crashBefore)
	h.attempt(t, "first")
	h.clock.Advance(ttl)
	h.meet(rotatortest.OpSetPassword, 1, func() rotatortest.Fault { return rotatortest.Fault{Before: rotator.ErrRefused} })

	result := h.attempt(t, "second")

	mustBe(t, result, rotator.Unfinished)
	if known := h.accepted(t); len(known) != 2 {
		t.Errorf("Vault holds %q", known)
	}
}

func TestASuccessWithoutEffectIsNotCommitted(t *testing.T) {
	h := newFixture(t)
	h.meet(rotatortest.OpVerify, 1, func() rotatortest.Fault {
		h.mailu.AddUser(userA, "first password") // the push had no effect
		return rotatortest.Fault{}
	})

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
	h.checkInvariant(t)
}

func TestWithoutVerificationAnAcceptedPushIsCommitted(t *testing.T) {
	h := newFixture(t)
	h.mailu.Unverified = true

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Rotated)
	h.checkAtRest(t)
}

func TestWithoutVerificationAnUncertainPushIsPushedAgain(t *testing.T) {
	h := newFixture(t)
	h.mailu.Unverified = true
	h.meet(rotatortest.OpSetPassword, 1, func() rotatortest.Fault { return rotatortest.Fault{After: rotatortest.ErrLost} })

	first := h.attempt(t, "daemon")
	h.undisturbed()
	second := h.attempt(t, "daemon")

	mustBe(t, first, rotator.Unfinished)
	mustBe(t, second, rotator.Finished)
	if h.mailu.Sets() != 2 || h.made != 1 {
		t.Errorf("%d pushes, %d passwords made", h.mailu.Sets(), h.made)
	}
	h.checkAtRest(t)
}

// On top of another write a commit must not name a password current that Mailu has
// lost meanwhile.
func TestACommitOnTopOfAnEditIsVerifiedAgain(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(*fixture)
		outcome   rotator.Outcome
		proofs    int
	}{
		"no edit": {func(*fixture) {}, rotator.Rotated, 1},
		"an edit": {func(h *fixture) {
			h.store.Edit(tenantA, func(fields map[string]any) { fields["note"] = "edited" })
		}, rotator.Rotated, 2},
		"an edit, and another password in Mailu": {func(h *fixture) {
			h.store.Edit(tenantA, func(fields map[string]any) { fields["note"] = "edited" })
			h.mailu.AddUser(userA, "by hand")
		}, rotator.Unfinished, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			proofs, writes := 0, 0
			hook := func(c rotatortest.Call) rotatortest.Fault {
				switch c.Op {
				case rotatortest.OpVerify:
					proofs++
				case rotatortest.OpWrite:
					if writes++; writes == 2 {
						test.meanwhile(h)
					}
				}
				return rotatortest.Fault{}
			}
			h.store.Hook, h.mailu.Hook = hook, hook

			result := h.attempt(t, "daemon")

			mustBe(t, result, test.outcome)
			if proofs != test.proofs {
				t.Errorf("verified %d times, want %d", proofs, test.proofs)
			}
		})
	}
}

// After a commit whose answer is lost another process may have begun a rotation.
func TestALostCommitBesideAnotherRotationIsNoSuccess(t *testing.T) {
	h := newFixture(t)
	theirs := h.seal(t, meanwhile, "theirs")
	writes := 0
	h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
		switch {
		case c.Op == rotatortest.OpWrite:
			if writes++; writes == 2 {
				return rotatortest.Fault{After: rotatortest.ErrLost}
			}
		case c.Op == rotatortest.OpRead && writes == 2:
			h.store.Edit(tenantA, func(fields map[string]any) {
				fields["pending"] = map[string]any{
					"password": theirs, "last_rotated": meanwhile, "key_version": 1,
					"owner": "another process", "claimed_until": h.clock.Now().Add(ttl),
				}
			})
		}
		return rotatortest.Fault{}
	}

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
}

func TestAFirstWriteOfUnknownEffectIsHalfFinished(t *testing.T) {
	h := newFixture(t)
	written := false
	h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpWrite {
			written = true
			return rotatortest.Fault{After: rotatortest.ErrLost}
		}
		if written {
			return rotatortest.Fault{Before: rotatortest.ErrLost}
		}
		return rotatortest.Fault{}
	}

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
}

func TestARecordThatIsGoneIsNotReadAgain(t *testing.T) {
	h := newFixture(t)
	reads := 0
	h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
		switch c.Op {
		case rotatortest.OpWrite:
			return rotatortest.Fault{Before: rotator.ErrAbsent}
		case rotatortest.OpRead:
			reads++
		}
		return rotatortest.Fault{}
	}

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Failed)
	if reads != 1 { // before the rotation
		t.Errorf("%d reads", reads)
	}
}

// The server refused the token in the push: no request may follow.
func TestARefusedTokenIsNotFollowedByAQuestion(t *testing.T) {
	h := newFixture(t)
	asked := 0
	h.mailu.Hook = func(c rotatortest.Call) rotatortest.Fault {
		switch c.Op {
		case rotatortest.OpSetPassword:
			return rotatortest.Fault{Before: fmt.Errorf("status 403: %w, %w", rotator.ErrServerUnusable, rotator.ErrRefused)}
		case rotatortest.OpVerify:
			asked++
		}
		return rotatortest.Fault{}
	}

	result := h.attempt(t, "daemon")

	mustBe(t, result, rotator.Unfinished)
	if asked != 0 {
		t.Errorf("asked %d times", asked)
	}
	h.checkInvariant(t)
}

func TestARecordThatOthersKeepWritingIsLeft(t *testing.T) {
	h := newFixture(t)
	writes := 0
	h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpWrite {
			writes++
			h.store.Edit(tenantA, func(fields map[string]any) { fields["note"] = fmt.Sprint(writes) })
		}
		return rotatortest.Fault{}
	}

	result := h.attempt(t, "daemon")

	if !errors.Is(result.Err, rotator.ErrConflict) || writes != 5 || h.mailu.Sets() != 0 {
		t.Errorf("%v after %d writes, %d pushes", result.Err, writes, h.mailu.Sets())
	}
}
