package vault

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

// The old token's revocation hangs: its lease continues after it was replaced.
func TestKeeperEndsOnceItsLeaseIsReplaced(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // ends a loop that would never end
	defer cancel()
	old := &lease{ctx: ctx}
	s := &session{ctx: t.Context(), cfg: Config{}.withDefaults(), current: &lease{}, pause: minLoginPause}

	s.succeed(old)

	if ctx.Err() != nil {
		t.Error("the keeper went on until its lease ended")
	}
}

// timedLogin records when it was used, and takes a set time.
type timedLogin struct {
	at   []time.Time
	took time.Duration
	err  error
}

func (l *timedLogin) authenticate(context.Context, *api.Client) (loginToken, error) {
	l.at = append(l.at, time.Now())
	time.Sleep(l.took)
	return loginToken{secret: crypto.SecretFromString("hvs.token")}, l.err
}

// sessionOf returns a session whose first login has just happened.
func sessionOf(t *testing.T, login *timedLogin) *session {
	t.Helper()
	s, err := openSession(t.Context(), Config{Address: "http://127.0.0.1:1"}.withDefaults(), &Login{authenticate: login.authenticate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func TestLoginsForTokensThatEndEarlyGrowApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &timedLogin{}
		s := sessionOf(t, login)
		replace := func() (waited time.Duration) {
			start := time.Now()
			stale, err := s.lease()
			if err != nil {
				t.Fatal(err)
			}
			if _, err = s.replace(t.Context(), stale); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}

		for i, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			want := time.Duration(seconds) * time.Second
			if got := replace(); got != want {
				t.Errorf("login %d: after %s, want %s", i+2, got, want)
			}
		}

		time.Sleep(time.Hour)
		if got := replace(); got != 0 {
			t.Errorf("a token that lived well is replaced after %s", got)
		}
		if got := replace(); got != minLoginPause {
			t.Errorf("the distance after a token that lived well is %s", got)
		}
	})
}

func TestATokenLivesWellForAMinuteOrHalfItsTime(t *testing.T) {
	for _, test := range []struct {
		ttl, lived int
		want       bool
	}{
		{0, 59, false}, {0, 60, true}, {10, 4, false}, {10, 5, true}, {3600, 59, false}, {3600, 60, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &lease{token: loginToken{ttl: time.Duration(test.ttl) * time.Second}, since: time.Now()}
			time.Sleep(time.Duration(test.lived) * time.Second)

			if got := l.wasStable(); got != test.want {
				t.Errorf("%d of %d seconds: %t", test.lived, test.ttl, got)
			}
		})
	}
}

func TestOneLoginServesAllWhoseTokenIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &timedLogin{}
		s := sessionOf(t, login)
		time.Sleep(time.Hour)
		login.took = time.Second
		stale, _ := s.lease()
		leases := make([]*lease, 10)
		var callers sync.WaitGroup
		for i := range leases {
			callers.Go(func() { leases[i], _ = s.replace(t.Context(), stale) })
		}
		callers.Wait()

		late, err := s.replace(t.Context(), stale)

		for i, l := range append(leases, late) {
			if l == nil || l == stale || l != s.current {
				t.Errorf("caller %d got another lease, %v", i, err)
			}
		}
		if len(login.at) != 2 {
			t.Errorf("%d logins, want the first and one more", len(login.at))
		}
	})
}

func TestAFailedLoginIsTheAnswerUntilTheNextMayBeTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &timedLogin{}
		s := sessionOf(t, login)
		login.err = errors.New("no secret-id")
		stale, _ := s.lease()
		_, first := s.replace(t.Context(), stale)

		start := time.Now()
		for range 100 {
			_, err := s.replace(t.Context(), stale)
			if !errors.Is(err, login.err) || !errors.Is(first, login.err) {
				t.Fatalf("got %v, then %v", first, err)
			}
		}
		if waited := time.Since(start); waited != 0 || len(login.at) != 2 {
			t.Errorf("%d logins, %s later", len(login.at), waited)
		}

		time.Sleep(2 * minLoginPause)
		login.err = nil
		if _, err := s.replace(t.Context(), stale); err != nil || len(login.at) != 3 {
			t.Errorf("%d logins, %v", len(login.at), err)
		}
	})
}

// countedLogin fails immediately, like a missing secret-id file.
type countedLogin struct {
	logins int
}

func (c *countedLogin) authenticate(context.Context, *api.Client) (loginToken, error) {
	c.logins++
	return loginToken{}, errors.New("no secret-id")
}

func TestKeeperWhoseLoginsFailAtOnceTriesOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		failing := &countedLogin{}
		old := &lease{ctx: ctx, since: time.Now()}
		s := &session{
			ctx: ctx, current: old, pause: minLoginPause, login: &Login{authenticate: failing.authenticate},
			cfg: Config{Address: "http://127.0.0.1:1"}.withDefaults(),
		}

		s.succeed(old)

		if failing.logins < 55 || failing.logins > 75 {
			t.Errorf("%d logins in an hour", failing.logins)
		}
	})
}

// keptLogin returns the same token each time.
type keptLogin struct {
	token loginToken
}

func (l keptLogin) authenticate(context.Context, *api.Client) (loginToken, error) {
	return l.token, nil
}

// The API client needs the only copy.
func TestALoginsCopyOfTheTokenIsWiped(t *testing.T) {
	login := keptLogin{token: loginToken{secret: crypto.SecretFromString("hvs.token")}}

	s, err := openSession(t.Context(), Config{Address: "http://127.0.0.1:1"}.withDefaults(), &Login{authenticate: login.authenticate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })

	if !login.token.secret.Empty() || s.current.api.Token() != "hvs.token" {
		t.Errorf("the copy is empty: %t; the client has %q", login.token.secret.Empty(), s.current.api.Token())
	}
}

func TestATokenForOneRequestIsRefused(t *testing.T) {
	login := keptLogin{token: loginToken{secret: crypto.SecretFromString("hvs.token"), uses: 1}}

	_, err := openSession(t.Context(), Config{Address: "http://127.0.0.1:1"}.withDefaults(), &Login{authenticate: login.authenticate})

	var limited *usesError
	if !errors.As(err, &limited) || limited.uses != 1 {
		t.Errorf("got %v", err)
	}
}

// Vault gives no such token; a watcher would renew it without a pause.
func TestATokenWithoutATimeIsNotRenewed(t *testing.T) {
	s := &session{ctx: t.Context(), cfg: Config{}.withDefaults()}

	s.keep(&lease{ctx: t.Context(), token: loginToken{renewable: true}}) // without a client: a renewal would panic
}
