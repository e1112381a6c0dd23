package mailu

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

const newcomer = "admin@new.example"

// pairWithDomain is a Mailu that has newcomer's domain, and a client for it.
func pairWithDomain(t testing.TB, config mailutest.Config) (*mailutest.Server, *Server) {
	t.Helper()
	fake, server := pair(t, config)
	fake.AddDomain("new.example")
	return fake, server
}

func create(t testing.TB, s *Server, username string) error {
	t.Helper()
	return s.CreateUser(t.Context(), username, crypto.SecretFromString(newPassword))
}

func mustSay(t testing.TB, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want %q", err, words)
	}
}

func TestCreationMakesAUserWithThePassword(t *testing.T) {
	fake, server := pairWithDomain(t, mailutest.Config{TLS: true})

	err := create(t, server, newcomer)

	if err != nil || !fake.Accepts(newcomer, newPassword) || fake.Count("") != 1 {
		t.Errorf("err %v, accepted %v, %d requests", err, fake.Accepts(newcomer, newPassword), fake.Count(""))
	}
}

func TestCreationRefused(t *testing.T) {
	tests := []struct {
		name, username string
		config         mailutest.Config
		kinds          []error
		words          string
	}{
		{"unknown domain", "admin@nowhere.example", mailutest.Config{}, []error{rotator.ErrRefused}, "status 404: Domain nowhere.example does not exist: create the domain in Mailu first"},
		{"an address that no Mailu can have", "admin@localhost", mailutest.Config{}, []error{rotator.ErrRefused}, "not sent"},
		{"there already", user, mailutest.Config{}, []error{rotator.ErrRefused, rotator.ErrNotCreated}, "status 409: User admin@example.com already exists"},
		{"API off", newcomer, mailutest.Config{APIDisabled: true}, []error{rotator.ErrServerUnusable}, "enable Mailu's API"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake, server := pairWithDomain(t, test.config)

			err := create(t, server, test.username)

			mustBe(t, err, test.kinds...)
			mustNotBe(t, err, rotator.ErrUnknownUser)
			mustSay(t, err, test.words)
			if fake.Accepts(test.username, newPassword) {
				t.Error("the password is accepted")
			}
		})
	}
}

// Release 2.0 leaves the check to the database; its answer leaves the outcome open.
func TestCreationOfAUserThatIsThereIsAmbiguous(t *testing.T) {
	fake, server := pair(t, mailutest.Config{Release: mailutest.Release20})

	err := create(t, server, user)

	mustTell(t, server, err, "status 500")
	mustNotBe(t, err, rotator.ErrRefused, rotator.ErrNotCreated)
	if !fake.Accepts(user, oldPassword) {
		t.Error("the password has changed")
	}
}

// A retry meets the user that the first try created.
func TestConflictAfterALostAnswerIsNoCertainRefusal(t *testing.T) {
	fake, server := pairWithDomain(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.ResetAfter, Times: 1})

	err := create(t, server, newcomer)

	mustBe(t, err, rotator.ErrNotCreated)
	mustNotBe(t, err, rotator.ErrRefused)
	if !fake.Accepts(newcomer, newPassword) {
		t.Error("the first try had no effect")
	}
}

func TestStatusesOfACreation(t *testing.T) {
	for status, refused := range map[int]bool{400: true, 401: true, 403: true, 404: true, 408: false, 409: true, 429: false, 500: false, 502: false, 504: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			fake, server := pairWithDomain(t, mailutest.Config{})
			fake.Inject(mailutest.Fault{Kind: mailutest.Status, Status: status, Body: own(status)})

			err := create(t, server, newcomer)

			if err == nil || errors.Is(err, rotator.ErrRefused) != refused || strings.Contains(err.Error(), newPassword) {
				t.Errorf("got %v, refused for certain should be %t", err, refused)
			}
		})
	}
}

func TestALiedCreationIsNoProof(t *testing.T) {
	fake, server := pairWithDomain(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.Lie, Method: "POST"})

	err := create(t, server, newcomer)
	_, proofErr := server.Verify(t.Context(), newcomer, crypto.SecretFromString(newPassword))

	if err != nil {
		t.Errorf("the lie was found out: %v", err)
	}
	mustBe(t, proofErr, rotator.ErrUnknownUser)
}

func TestWhetherAUserCanBeCreated(t *testing.T) {
	tests := []struct {
		username, words string
	}{
		{newcomer, ""},
		{"admin@NEW.example", ""},
		{"admin@nowhere.example", "status 404: Domain nowhere.example does not exist: create the domain in Mailu first"},
		{"admin@localhost", "its domain has no dot"},
	}
	for _, test := range tests {
		t.Run(test.username, func(t *testing.T) {
			_, server := pairWithDomain(t, mailutest.Config{})

			err := server.CanCreateUser(t.Context(), test.username)

			if test.words == "" && err != nil {
				t.Fatal(err)
			}
			if test.words != "" {
				mustBe(t, err, rotator.ErrRefused)
				mustNotBe(t, err, rotator.ErrUnknownUser)
				mustSay(t, err, test.words)
			}
		})
	}
}

// Mailu reports an invalid domain only in the body.
func TestTheCodeInABodyCounts(t *testing.T) {
	fake, server := pairWithDomain(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.Status, Status: 200, Body: `{"code": 400, "message": "Domain new.example is not a valid domain"}`})

	err := server.CanCreateUser(t.Context(), newcomer)

	mustBe(t, err, rotator.ErrRefused)
	mustNotBe(t, err, rotator.ErrUnknownUser)
	mustSay(t, err, "status 200, code 400: Domain new.example is not a valid domain")
}

func TestWhatIsNoDomainIsNoPermission(t *testing.T) {
	fake, server := pairWithDomain(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 200})

	err := server.CanCreateUser(t.Context(), newcomer)

	mustSay(t, err, "not Mailu's answer about a domain")
	mustNotBe(t, err, rotator.ErrRefused)
}
