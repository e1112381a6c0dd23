package mailu

import (
	"errors"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

// The failure may concern only this user: a run asks about others before it gives up
// the server.
func TestAnAnswerThatItFailedIsTheServersFailure(t *testing.T) {
	for status, failed := range map[int]bool{
		500: true, 501: true, 505: true,
		400: false, 403: false, 404: false, 408: false, 429: false, 502: false, 503: false, 504: false,
	} {
		fake, server := pair(t, mailutest.Config{})
		fake.Inject(mailutest.Fault{Kind: mailutest.Status, Status: status})

		for call, err := range map[string]error{"question": server.Knows(t.Context(), user), "push": push(t, server)} {
			if err == nil || errors.Is(err, rotator.ErrServerFailed) != failed {
				t.Errorf("%s, status %d: %v", call, status, err)
			}
			if failed {
				mustNotBe(t, err, rotator.ErrRefused, rotator.ErrServerUnusable)
			}
		}
	}
}

func TestASilentServerHasNotSaidThatItFailed(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Close()

	err := server.Knows(t.Context(), user)

	if err == nil {
		t.Fatal("no error")
	}
	mustNotBe(t, err, rotator.ErrServerFailed)
}
