package rotator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// newAddition is a fixture without a record. Mailu has the user with the given password, or
// for "" no such user.
func newAddition(t testing.TB, password string) *fixture {
	t.Helper()
	h := newFixture(t)
	h.store = &rotatortest.Store{Clock: h.clock}
	h.mailu = &rotatortest.Mailu{Origins: []rotator.Origin{originA}}
	if password != "" {
		h.mailu.AddUser(userA, password)
	}
	h.before = password
	return h
}

// add runs `tenant add` as the named owner. It reports whether the process survived.
func (h *fixture) add(t testing.TB, owner string) (result rotator.Result, lived bool) {
	t.Helper()
	c, err := rotator.ParseCredential(tenantA, rotator.Document{Fields: map[string]any{
		"username": userA, "webmail_url": "https://mail.a.example/webmail", "created_at": "2026-11-23T03:00:00.000Z",
	}}, rotatortest.Policy(t, "180_days"))
	if err != nil {
		t.Fatal(err)
	}
	lived = rotatortest.Survive(func() {
		result = h.process(owner).Add(context.Background(), rotatortest.Creator{Store: h.store, Mailu: h.mailu}, c)
	})
	return result, lived
}

// checkAdded is the invariant before, while and after a tenant is added: until the
// record has a current password Mailu may hold what it held before, and then only what
// the record holds.
func (h *fixture) checkAdded(t testing.TB) {
	t.Helper()
	held, known := h.mailu.Password(userA), h.accepted(t)
	fields, _ := h.store.Get(tenantA)
	if _, named := fields["password"]; !named {
		known = append(known, h.before)
	}
	if !slices.Contains(known, held) {
		t.Fatalf("locked out: Mailu accepts %q, Vault holds %q", held, known)
	}
}

func (h *fixture) mustBeAdded(t testing.TB) {
	t.Helper()
	known := h.accepted(t)
	fields, _ := h.store.Get(tenantA)
	if len(known) != 1 || known[0] != h.mailu.Password(userA) || known[0] == h.before {
		t.Fatalf("not at rest: Mailu accepts %q, Vault holds %q", h.mailu.Password(userA), known)
	}
	if fields["username"] != userA || fields["created_at"] != "2026-11-23T03:00:00.000Z" || fields["last_rotated"] == nil || fields["key_version"] == nil {
		t.Fatalf("the record is %v", fields)
	}
}

func TestAnAdditionTakesTheUserOverOrCreatesIt(t *testing.T) {
	for before, reason := range map[string]string{"by hand": "took over the user in Mailu", "": "created the user in Mailu"} {
		t.Run(reason, func(t *testing.T) {
			h := newAddition(t, before)

			result, _ := h.add(t, "tenant add")

			if result.Outcome != rotator.Added || result.Err != nil || result.Reason != reason || h.made != 1 {
				t.Errorf("got %s (%s): %v, %d passwords", result.Outcome, result.Reason, result.Err, h.made)
			}
			h.mustBeAdded(t)
			h.mustHaveVersions(t, 3)
		})
	}
}

func TestNoPasswordIsNamedCurrentBeforeMailuIsProvenToHoldIt(t *testing.T) {
	for _, before := range []string{"by hand", ""} {
		h := newAddition(t, before)
		pushes := 0
		h.mailu.Hook = func(c rotatortest.Call) rotatortest.Fault {
			fields, _ := h.store.Get(tenantA)
			if c.Op == rotatortest.OpSetPassword || c.Op == rotatortest.OpCreateUser {
				pushes++
				if fields["password"] != nil || fields["pending"] == nil {
					t.Errorf("%s: the record is %v", c.Op, fields)
				}
			}
			return rotatortest.Fault{}
		}

		h.add(t, "tenant add")

		if pushes == 0 {
			t.Error("nothing was pushed")
		}
	}
}

// Wherever a process dies, the same command finishes the addition, and so does any run
// if there is a record and a user to push to.
func TestAnAdditionIsFinishedWhereverItDied(t *testing.T) {
	for _, before := range []string{"by hand", ""} {
		for _, fault := range []rotatortest.Fault{{CrashBefore: true}, {CrashAfter: true}, {After: rotatortest.ErrLost}} {
			t.Run(fmt.Sprintf("over %q, %+v", before, fault), func(t *testing.T) {
				for nth := 1; dies(t, nth, fault, before, (*fixture).daemon); nth++ {
					dies(t, nth, fault, before, (*fixture).addAgain)
				}
			})
		}
	}
}

// dies gives the nth call of an addition a fault, and lets others continue. It is false
// if there is no such call.
func dies(t *testing.T, nth int, fault rotatortest.Fault, before string, recover func(*fixture, *testing.T) error) bool {
	t.Helper()
	h := newAddition(t, before)
	met := h.meetNth(nth, fault)
	h.add(t, "tenant add")
	h.checkAdded(t)
	h.undisturbed()
	if !*met {
		return false
	}
	h.clock.Advance(ttl)
	fields, _ := h.store.Get(tenantA)
	begun, canPush := fields != nil, h.mailu.Password(userA) != ""

	err := recover(h, t)

	h.checkAdded(t)
	if begun && canPush && err != nil {
		t.Errorf("call %d: %v", nth, err)
	}
	if err := h.addAgain(t); err != nil {
		t.Errorf("call %d, and the command once more: %v", nth, err)
	}
	h.mustBeAdded(t)
	if begun && h.made != 1 {
		t.Errorf("call %d: %d passwords were made", nth, h.made)
	}
	return true
}

// daemon finishes what is pending.
func (h *fixture) daemon(t *testing.T) error {
	switch fields, _ := h.store.Get(tenantA); {
	case fields == nil:
		return rotator.ErrAbsent
	case fields["pending"] == nil:
		return nil
	}
	return h.attempt(t, "daemon").Err
}

func (h *fixture) addAgain(t *testing.T) error {
	result, _ := h.add(t, "another tenant add")
	return result.Err
}

// meetNth gives the nth outside call a fault, and reports whether there was such a
// call.
func (h *fixture) meetNth(nth int, fault rotatortest.Fault) *bool {
	met := new(bool)
	hook := func(rotatortest.Call) rotatortest.Fault {
		if nth--; nth != 0 {
			return rotatortest.Fault{}
		}
		*met = true
		return fault
	}
	h.store.Hook, h.mailu.Hook = hook, hook
	return met
}

func TestARefusedFirstPushLeavesThePendingPasswordAndNoClaim(t *testing.T) {
	for _, before := range []string{"by hand", ""} {
		h := newAddition(t, before)
		op := rotatortest.OpSetPassword
		if before == "" {
			op = rotatortest.OpCreateUser
		}
		h.mailu.Hook = rotatortest.On(op, rotatortest.Fault{Before: fmt.Errorf("bad request: %w", rotator.ErrRefused)})

		result, _ := h.add(t, "tenant add")

		fields, _ := h.store.Get(tenantA)
		if result.Outcome != rotator.Unfinished || !strings.Contains(result.Err.Error(), "run the same `mailu-rotator tenant add` again, or give it up with `vault kv metadata delete`") {
			t.Errorf("got %s: %v", result.Outcome, result.Err)
		}
		if fields["password"] != nil || fields["pending"] == nil {
			t.Fatalf("the record is %v", fields)
		}
		h.undisturbed()
		if result, _ := h.add(t, "another tenant add"); result.Outcome != rotator.Added || h.made != 1 {
			t.Errorf("at once after that: %s: %v, %d passwords", result.Outcome, result.Err, h.made)
		}
		h.mustBeAdded(t)
	}
}

func TestNothingIsWrittenForADomainThatMailuDoesNotHave(t *testing.T) {
	h := newAddition(t, "")
	h.mailu.NoDomain = "a.example"

	result, _ := h.add(t, "tenant add")

	if result.Outcome != rotator.Failed || !errors.Is(result.Err, rotator.ErrRefused) {
		t.Errorf("got %s: %v", result.Outcome, result.Err)
	}
	h.mustHaveVersions(t, 0)
}

func TestAUserThatSomebodyMakesMeanwhileIsTakenOverByTheNextAttempt(t *testing.T) {
	h := newAddition(t, "")
	h.mailu.Hook = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpCreateUser {
			h.mailu.AddUser(userA, "somebody's")
		}
		return rotatortest.Fault{}
	}

	if first, _ := h.add(t, "tenant add"); first.Outcome != rotator.Unfinished || errors.Is(first.Err, rotator.ErrRefused) {
		t.Errorf("got %s: %v, as if trying again made no sense", first.Outcome, first.Err)
	}
	result, _ := h.add(t, "tenant add")

	if result.Outcome != rotator.Added || result.Reason != "took over the user in Mailu" {
		t.Errorf("got %s (%s): %v", result.Outcome, result.Reason, result.Err)
	}
	h.mustBeAdded(t)
}

// verify: none: the user must still be looked up, or it would never be created.
func TestAnAdditionWhereHashesAreNotAskedFor(t *testing.T) {
	h := newAddition(t, "")
	h.mailu.Unverified = true
	h.meet(rotatortest.OpCreateUser, 1, crashBefore)
	h.add(t, "tenant add")
	h.undisturbed()
	h.clock.Advance(ttl)

	result, _ := h.add(t, "another tenant add")

	if result.Outcome != rotator.Added || result.Reason != "created the user in Mailu" || h.made != 1 {
		t.Errorf("got %s (%s): %v", result.Outcome, result.Reason, result.Err)
	}
	h.mustBeAdded(t)
}

func TestARecordThatIsThereIsLeftAlone(t *testing.T) {
	h := newFixture(t)

	result, _ := h.add(t, "tenant add")

	if result.Outcome != rotator.Fresh || result.Reason != "is a tenant already" || h.store.Writes() != 0 || h.mailu.Sets() != 0 {
		t.Errorf("got %s (%s), %d writes", result.Outcome, result.Reason, h.store.Writes())
	}
}

func TestTwoWhoAddTheSameTenantMakeOnePassword(t *testing.T) {
	h := newAddition(t, "by hand")
	h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpCreate {
			h.undisturbed()
			h.add(t, "another tenant add")
		}
		return rotatortest.Fault{}
	}

	result, _ := h.add(t, "tenant add")

	if result.Outcome != rotator.Fresh {
		t.Errorf("got %s: %v", result.Outcome, result.Err)
	}
	h.mustBeAdded(t)
	h.mustHaveVersions(t, 3)
}

// Whatever fails, wherever a process dies and whichever process continues at any time:
// see checkAdded; and an undisturbed run afterwards leaves a tenant like any other.
func TestNoFaultBreaksAnAddition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newAddition(t, rapid.SampledFrom([]string{"by hand", ""}).Draw(rt, "before"))
		h.disturb(t, rt, h.checkAdded)

		for range rapid.IntRange(1, 6).Draw(rt, "runs") {
			if owner := rapid.SampledFrom([]string{"tenant add", "another tenant add", "daemon"}).Draw(rt, "process"); owner == "daemon" {
				h.rotate(t, owner)
			} else {
				h.add(t, owner)
			}
			h.checkAdded(t)
			h.clock.Advance(time.Duration(rapid.IntRange(0, int(2*ttl)).Draw(rt, "time passes")))
		}

		h.undisturbed()
		h.clock.Advance(ttl)
		if err := errors.Join(h.addAgain(t), h.daemon(t)); err != nil { // the daemon may have started a rotation
			t.Fatalf("an undisturbed run failed: %v", err)
		}
		h.mustBeAdded(t)
	})
}

func TestAdditionTellsOfARestrictedAccount(t *testing.T) {
	h := newAddition(t, "by hand")
	h.mailu.Accounts = map[string]rotator.Account{userA: {NoIMAP: true, ChangeAtLogin: true}}

	result, _ := h.add(t, "tenant add")

	want := "took over the user in Mailu, who need not change the password at the next login any more; " + "IMAP is off for the user in Mailu: no mail can be read"
	if result.Outcome != rotator.Added || result.Reason != want {
		t.Errorf("%s (%s), want %q", result.Outcome, result.Reason, want)
	}
}
