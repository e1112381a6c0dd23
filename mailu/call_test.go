package mailu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

// onPaper is a server without a network; use it within a synctest bubble.
func onPaper(t testing.TB, config ServerConfig, transport inMemory) *Server {
	t.Helper()
	return open(t, config, Options{transport: transport})
}

func TestWaitsGrowAndJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		server := onPaper(t, entry("https://mail.example.com"), func(*http.Request) (*http.Response, error) {
			times = append(times, time.Now())
			return respond(503, ""), nil
		})

		err := push(t, server)

		mustTell(t, server, err, "status 503")
		if len(times) != 3 {
			t.Fatalf("%d tries, want 3", len(times))
		}
		first, second := times[1].Sub(times[0]), times[2].Sub(times[1])
		if first < 500*time.Millisecond || first > 750*time.Millisecond || second < time.Second || second > 1500*time.Millisecond {
			t.Errorf("waited %s, then %s", first, second)
		}
	})
}

func TestShortRetryAfterIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		server := onPaper(t, entry("https://mail.example.com"), func(*http.Request) (*http.Response, error) {
			if times = append(times, time.Now()); len(times) == 1 {
				return respond(429, "", "Retry-After", "4"), nil
			}
			return respond(200, updated), nil
		})

		err := push(t, server)

		if err != nil || len(times) != 2 || times[1].Sub(times[0]) != 4*time.Second {
			t.Errorf("err %v, tries at %v", err, times)
		}
	})
}

func TestAPauseIsNeverShorterThanTheBackOff(t *testing.T) {
	wait, short := Options{}.withDefaults().wait(1, time.Millisecond)

	if wait < 500*time.Millisecond || !short {
		t.Errorf("waits %s, %t", wait, short)
	}
}

func TestLongRetryAfterIsPassedOnAtOnce(t *testing.T) {
	tests := map[string]time.Duration{
		"6":                             6 * time.Second,
		"3600":                          time.Hour,
		"86400":                         time.Hour,
		"99999999999999999999999":       time.Hour,
		"Sat, 01 Jan 2000 00:10:00 GMT": 10 * time.Minute, // a bubble's clock starts at 00:00
		"Fri, 31 Dec 2049 00:00:00 GMT": time.Hour,
	}
	for value, want := range tests {
		t.Run(value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				server := onPaper(t, entry("https://mail.example.com"), func(*http.Request) (*http.Response, error) {
					return respond(429, "", "Retry-After", value), nil
				})

				err := push(t, server)

				if after := limitedTo(t, err); after != want || time.Since(start) != 0 {
					t.Errorf("asked to wait %s after %s, want %s at once", after, time.Since(start), want)
				}
				mustNotBe(t, err, rotator.ErrRefused)
			})
		})
	}
}

func TestNoWaitThatOutlastsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		server := onPaper(t, entry("https://mail.example.com"), func(*http.Request) (*http.Response, error) {
			tries++
			return respond(429, "", "Retry-After", "4"), nil
		})

		err := server.SetPassword(within(t, 3*time.Second), user, crypto.SecretFromString(newPassword))

		if limitedTo(t, err) != 4*time.Second || tries != 1 || time.Since(start) != 0 {
			t.Errorf("%d tries in %s: %v", tries, time.Since(start), err)
		}
	})
}

func TestCancelEndsAWaitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		server := onPaper(t, entry("https://mail.example.com"), func(*http.Request) (*http.Response, error) {
			tries++
			return nil, errors.New("connection reset")
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)

		err := server.SetPassword(ctx, user, crypto.SecretFromString(newPassword))

		mustBe(t, err, context.Canceled)
		mustNotBe(t, err, rotator.ErrRefused)
		mustTell(t, server, err, "connection reset", "time of this call ran out")
		if tries != 1 || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%d tries in %s", tries, time.Since(start))
		}
	})
}

func TestWaitingBetweenTriesHoldsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := entry("https://mail.example.com")
		config.MaxConcurrent = 1
		patches := 0
		server := onPaper(t, config, func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				return respond(200, `{"email":"admin@example.com"}`), nil
			}
			if patches++; patches == 1 {
				return respond(503, "", "Retry-After", "5"), nil
			}
			return respond(200, updated), nil
		})
		pushed := make(chan error, 1)
		go func() { pushed <- push(t, server) }()
		time.Sleep(time.Second)
		start := time.Now()

		err := server.Knows(t.Context(), user)

		if err != nil || time.Since(start) != 0 {
			t.Errorf("err %v after %s", err, time.Since(start))
		}
		if err := <-pushed; err != nil {
			t.Error(err)
		}
	})
}

func TestTimeInTheQueueIsNotTimeOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := entry("https://mail.example.com")
		config.MaxConcurrent = 1
		server := onPaper(t, config, func(req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(4 * time.Second): // the timeout is 5 s
				return respond(200, updated), nil
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		})

		errs := atOnce(5, func() error { return push(t, server) })

		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}

func TestACallThatEndsInATryIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := onPaper(t, entry("https://mail.example.com"), func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})

		err := server.Knows(within(t, 3*time.Second), user) // the timeout is 5 s

		mustBe(t, err, context.DeadlineExceeded)
		mustTell(t, server, err, "no answer before the time of this call ran out")
		if strings.Count(err.Error(), "ran out") != 1 {
			t.Errorf("got %v", err)
		}
	})
}

func TestEachTryHasTheTimeoutOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		server := onPaper(t, entry("https://mail.example.com"), func(req *http.Request) (*http.Response, error) {
			tries++
			<-req.Context().Done()
			return nil, req.Context().Err()
		})

		err := push(t, server)

		mustTell(t, server, err, "no answer within 5s")
		mustNotBe(t, err, context.DeadlineExceeded, rotator.ErrRefused)
		if tries != 3 || time.Since(start) < 15*time.Second || time.Since(start) > 18*time.Second {
			t.Errorf("%d tries in %s", tries, time.Since(start))
		}
	})
}

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

		_ = push(t, server) // refused, which disables the server
		_ = push(t, server) // not sent

		if told != 1 {
			t.Errorf("told of %d requests, sent 1", told)
		}
	})
}

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
