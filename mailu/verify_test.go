package mailu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

func TestProofFollowsWhatMailuHolds(t *testing.T) {
	_, server := pair(t, mailutest.Config{})

	before, err1 := prove(t, server, newPassword)
	pushed := push(t, server)
	after, err2 := prove(t, server, newPassword)
	former, err3 := prove(t, server, oldPassword)

	if err := errors.Join(err1, pushed, err2, err3); err != nil {
		t.Fatal(err)
	}
	if before != rotator.Mismatch || after != rotator.Match || former != rotator.Mismatch {
		t.Errorf("before %v, after %v, former %v", before, after, former)
	}
}

func TestSuccessWithoutEffectIsFoundOut(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.Lie})

	pushed := push(t, server)
	proof, err := prove(t, server, newPassword)

	if pushed != nil || err != nil || proof != rotator.Mismatch {
		t.Errorf("push %v, proof %v, %v", pushed, proof, err)
	}
}

func TestLostAnswerIsSettledByProof(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.ResetAfter, Method: http.MethodPatch})

	pushed := push(t, server)
	proof, err := prove(t, server, newPassword)

	if pushed == nil || err != nil || proof != rotator.Match {
		t.Errorf("push %v, proof %v, %v", pushed, proof, err)
	}
}

func TestVerifyNoneNeverAsks(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	c := entry(fake.Origin())
	c.Verify = VerifyNone
	server := open(t, c, quick())

	proof, err := prove(t, server, newPassword)

	if proof != rotator.Unproven || err != nil || fake.Count("") != 0 {
		t.Errorf("%v, %v after %d requests", proof, err, fake.Count(""))
	}
}

func TestAnswersThatProveNothing(t *testing.T) {
	const hash = "$pbkdf2-sha512$25000$c2FsdHNhbHQ$ZGlnZXN0ZGlnZXN0"
	tests := []struct {
		name, body, words string
		unverifiable      bool
	}{
		{"another scheme", `{"email":"admin@example.com","password":"` + hash + `"}`, "pbkdf2-sha512", true},
		{"a costly hash", `{"email":"admin@example.com","password":"` + strings.Replace(passlibOfPassword, "r=5", "r=31", 1) + `"}`, "4 to 15 rounds", true},
		{"no hash", `{"email":"admin@example.com"}`, "no hash", true},
		{"a null hash", `{"email":"admin@example.com","password":null}`, "no hash", true},
		{"another user", `{"email":"other@example.com","password":"` + hash + `"}`, "another user", true},
		{"no user", `{"code":200,"message":"fine"}`, "another user", true},
		{"fields of other types", `{"email":["admin@example.com"],"password":7}`, "not Mailu's answer", false},
		{"a list", `[{"email":"admin@example.com"}]`, "not Mailu's answer", false},
		{"null", `null`, "not Mailu's answer", false},
		{"a page", `<html><title>Webmail login</title></html>`, "Webmail login", false},
		{"nothing", ` `, "not Mailu's answer", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake, server := pair(t, mailutest.Config{})
			fake.Inject(mailutest.Fault{Kind: mailutest.GarbageJSON, Body: test.body})

			proof, err := prove(t, server, newPassword)

			mustTell(t, server, err, test.words)
			if proof != rotator.Unproven || errors.Is(err, rotator.ErrUnverifiable) != test.unverifiable {
				t.Errorf("%v, %v", proof, err)
			}
			if strings.Contains(err.Error(), "c2FsdHNhbHQ") || strings.Contains(err.Error(), "5Hg1DKFq") {
				t.Errorf("%q shows the hash", err)
			}
		})
	}
}

func TestStatusesOfAProof(t *testing.T) {
	for status, want := range map[int]error{
		400: rotator.ErrUnverifiable, 409: rotator.ErrUnverifiable,
		401: rotator.ErrServerUnusable, 403: rotator.ErrServerUnusable, 302: rotator.ErrServerUnusable,
		408: nil, 500: nil, 502: nil, 204: nil, 429: nil,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			fake, server := pair(t, mailutest.Config{})
			fake.Inject(mailutest.Fault{Kind: mailutest.Status, Status: status, Body: own(status)})

			_, err := prove(t, server, newPassword)

			mustTell(t, server, err, fmt.Sprint(status))
			mustNotBe(t, err, rotator.ErrRefused)
			for _, kind := range []error{rotator.ErrUnverifiable, rotator.ErrServerUnusable} {
				if errors.Is(err, kind) != errors.Is(want, kind) {
					t.Errorf("%q: is %q: %v", err, kind, errors.Is(err, kind))
				}
			}
			if status == 429 {
				limitedTo(t, err)
			}
		})
	}
}

func TestKnowsIsNilForAUserAndClassedAsAPushOtherwise(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	if err := server.Knows(t.Context(), user); err != nil {
		t.Error(err)
	}

	fake.DeleteUser(user)
	fake.Inject(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 502, Times: 1})
	err := server.Knows(t.Context(), user)

	var unknown *UnknownUserError
	mustBe(t, err, rotator.ErrRefused)
	mustTell(t, server, err, "unknown to this server")
	if !errors.As(err, &unknown) || fake.Count(http.MethodPatch) != 0 {
		t.Errorf("%v, %d pushes", err, fake.Count(http.MethodPatch))
	}
	if err := server.Knows(t.Context(), "no-address"); !errors.Is(err, rotator.ErrRefused) {
		t.Error(err)
	}
}

func TestProofRefusesAnEmptyPassword(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})

	_, err := prove(t, server, "")

	mustBe(t, err, rotator.ErrUnverifiable)
	if fake.Count("") != 0 {
		t.Error("a request was sent")
	}
}

func TestProofEndsWithItsContext(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.HangBefore})

	_, err := server.Verify(within(t, 30*time.Millisecond), user, crypto.SecretFromString(newPassword))

	mustTell(t, server, err, "time of this call ran out")
	if fake.Count("") != 1 {
		t.Errorf("%d requests, want 1", fake.Count(""))
	}
}

func TestNoHashIsCheckedAfterTheEndOfTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	options := quick()
	options.transport = inMemory(func(*http.Request) (*http.Response, error) {
		cancel()
		return respond(200, `{"email":"admin@example.com","password":"`+passlibOfPassword+`"}`), nil
	})
	server := open(t, entry("https://mail.example.com"), options)

	held, err := proof(server.Verify(ctx, user, crypto.SecretFromString("password")))

	mustBe(t, err, context.Canceled)
	if held != rotator.Unproven {
		t.Errorf("proof %v", held)
	}
}
