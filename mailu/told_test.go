package mailu

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/rotator"
)

func TestEveryTryIsToldOnceWithoutSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []func() (*http.Response, error){
			func() (*http.Response, error) { return respond(503, ""), nil },
			func() (*http.Response, error) { return nil, errors.New("connection reset") },
			func() (*http.Response, error) { time.Sleep(300 * time.Millisecond); return respond(200, updated), nil },
		}
		var told []string
		server := open(t, entry("https://mail.example.com"), Options{
			transport: inMemory(func(*http.Request) (*http.Response, error) {
				next := answers[0]
				answers = answers[1:]
				return next()
			}),
			OnRequest: func(origin rotator.Origin, method string, status int, took time.Duration) {
				told = append(told, fmt.Sprintf("%s %s %d %s", method, origin, status, took))
			},
		})

		err := push(t, server)

		want := []string{
			"PATCH https://mail.example.com 503 0s",
			"PATCH https://mail.example.com 0 0s",
			"PATCH https://mail.example.com 200 300ms",
		}
		if err != nil || !slices.Equal(told, want) {
			t.Errorf("%v; told %q", err, told)
		}
	})
}

func TestWhatIsNotSentIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		server := open(t, entry("https://mail.example.com"), Options{
			transport: inMemory(func(*http.Request) (*http.Response, error) { return respond(403, own(403)), nil }),
			OnRequest: func(rotator.Origin, string, int, time.Duration) { told++ },
		})

		_ = push(t, server) // refused, which closes the latch
		_ = push(t, server) // not sent

		if told != 1 {
			t.Errorf("told of %d requests, sent 1", told)
		}
	})
}
