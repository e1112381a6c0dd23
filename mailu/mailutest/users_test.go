package mailutest_test

import (
	"net/http"
	"slices"
	"testing"

	"mailu-rotator/mailu/mailutest"
)

func TestPatchSetsThePassword(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	before := server.Hash(alice)

	do(t, server, patch(fresh))

	if !server.Accepts(alice, "new password") || server.Accepts(alice, secret) {
		t.Error("the new password is not the only one accepted")
	}
	if server.Hash(alice) == before || server.PasswordSets(alice) != 1 {
		t.Errorf("hash %q, set %d times", server.Hash(alice), server.PasswordSets(alice))
	}
}

func TestTheSamePasswordAgainMakesAnotherHash(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	do(t, server, patch(fresh))
	first := server.Hash(alice)

	do(t, server, patch(fresh))

	if server.Hash(alice) == first || !server.Accepts(alice, "new password") {
		t.Error("setting the same password is not idempotent in what it accepts, or kept the salt")
	}
}

func TestAnEmptyPasswordLocksTheUserOut(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	got := do(t, server, patch(`{"raw_password": ""}`))

	if got.status != http.StatusOK || server.PasswordSets(alice) != 1 {
		t.Errorf("status %d, set %d times", got.status, server.PasswordSets(alice))
	}
	if server.Accepts(alice, "") || server.Accepts(alice, secret) {
		t.Error("the account still opens")
	}
}

func TestABodyWithoutThePasswordIsASuccessWithoutEffect(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	got := do(t, server, patch(`{"rawPassword": "new password"}`))

	if got.status != http.StatusOK || server.PasswordSets(alice) != 0 || !server.Accepts(alice, secret) {
		t.Errorf("status %d, set %d times", got.status, server.PasswordSets(alice))
	}
}

func TestANewPasswordEndsTheUsersSessionsAndNoOthers(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.AddUser("bob@example.com", secret)
	server.OpenSession(alice)
	server.OpenSession("bob@example.com")

	do(t, server, patch(fresh))

	if server.Sessions(alice) != 0 || server.Sessions("bob@example.com") != 1 {
		t.Errorf("sessions: alice %d, bob %d", server.Sessions(alice), server.Sessions("bob@example.com"))
	}
}

func TestADisabledUserTakesAPasswordButNoLogin(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.SetEnabled(alice, false)

	got := do(t, server, patch(fresh))

	if got.status != http.StatusOK || server.Accepts(alice, "new password") {
		t.Errorf("status %d, accepted %t", got.status, server.Accepts(alice, "new password"))
	}
	if shown := fields(t, do(t, server, request{})); shown["enabled"] != false {
		t.Errorf("enabled %v", shown["enabled"])
	}
}

func TestALoginRenewsAHashOfAnotherCost(t *testing.T) {
	const passlibs = "$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS"
	server := mailutest.Run(t, mailutest.Config{Rounds: 4})
	server.AddUserHash(alice, passlibs)

	accepted := server.Login(alice, "password")

	if !accepted || server.Hash(alice) == passlibs || !server.Accepts(alice, "password") {
		t.Errorf("accepted %t, hash %q", accepted, server.Hash(alice))
	}
	if server.PasswordSets(alice) != 0 {
		t.Error("a login counts as setting the password")
	}
}

func TestAHashOfTheRightCostOutlivesALogin(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	before := server.Hash(alice)

	if !server.Login(alice, secret) || server.Hash(alice) != before {
		t.Errorf("hash %q, was %q", server.Hash(alice), before)
	}
}

func TestADeletedUserIsUnknown(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	server.DeleteUser("ALICE@example.com")

	if got := do(t, server, patch(fresh)); got.status != http.StatusNotFound {
		t.Errorf("status %d", got.status)
	}
	if server.Accepts(alice, secret) || server.Hash(alice) != "" {
		t.Error("the user is still there")
	}
}

func TestTheHistoryTellsWhatWasSetAndShownWhateverWasAnswered(t *testing.T) {
	var now clock
	server := runWithAlice(t, mailutest.Config{Now: now.now})
	server.Inject(mailutest.Fault{Kind: mailutest.ResetAfter, Times: 2}, mailutest.Fault{Kind: mailutest.Lie, Times: 1})

	_, _ = try(t.Context(), server, patch(fresh))     // set, and the answer lost
	_, _ = try(t.Context(), server, request{})        // shown, and the answer lost
	do(t, server, patch(fresh))                       // a lie
	do(t, server, request{token: "wrong"})            // refused
	do(t, server, patch(`{"raw_password": "third"}`)) // set

	sets, shown := server.Sets(alice), server.Shown(alice)
	want := []mailutest.Set{{Time: now.now(), Password: "new password"}, {Time: now.now(), Password: "third"}}
	if !slices.Equal(sets, want) {
		t.Errorf("sets %v, want %v", sets, want)
	}
	if len(shown) != 1 || !shown[0].Equal(now.now()) {
		t.Errorf("shown %v", shown)
	}
}
