package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/singleflight"

	"mailu-rotator/rotator"
)

const (
	minLoginPause = time.Second
	maxLoginPause = time.Minute
	revokeTimeout = 5 * time.Second
)

var errClosed = errors.New("the vault session is closed")

// session holds a valid token: it renews it, and replaces an invalid one by one login
// for all callers.
type session struct {
	cfg    Config
	login  *Login
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the session and its leases
	logins singleflight.Group

	mu      sync.Mutex // guards all fields below
	current *lease
	failure error         // the error of the last login
	last    time.Time     // the end of the last login
	pause   time.Duration // minimum time from last to the next login
}

// openSession logs in within ctx; the session itself lives until close.
func openSession(ctx context.Context, cfg Config, login *Login) (*session, error) {
	s := &session{cfg: cfg, login: login, pause: minLoginPause}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	first, err := s.logIn(ctx)
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.current, s.last = first, time.Now()
	s.wg.Go(func() { s.keep(first) })
	return s, nil
}

// lease returns the token in use.
func (s *session) lease() (*lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, errClosed
	}
	return s.current, nil
}

// replace returns a lease other than stale, by one login for all callers. Logins keep a
// growing distance: until the next one may start, callers get the last one's error.
func (s *session) replace(ctx context.Context, stale *lease) (*lease, error) {
	if current, err := s.lease(); current != stale {
		return current, err
	}
	select {
	case login := <-s.logins.DoChan("", func() (any, error) { return s.logInAgain(stale) }):
		fresh, _ := login.Val.(*lease)
		return fresh, login.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a new vault token: %w", ctx.Err())
	}
}

func (s *session) logInAgain(stale *lease) (*lease, error) {
	stable := stale.wasStable() // before the wait, which would count as life
	s.mu.Lock()
	wait, current, failure := time.Until(s.last.Add(s.pause)), s.current, s.failure
	closed := s.ctx.Err() != nil
	if !closed {
		s.wg.Add(1) // before close waits
		defer s.wg.Done()
	}
	s.mu.Unlock()
	switch {
	case closed:
		return nil, errClosed
	case current != stale:
		return current, nil
	case failure != nil && wait > 0:
		return nil, failure
	case wait > 0:
		s.cfg.OnWait(errors.New("the vault token ended early; logging in again"), wait)
	}
	var fresh *lease
	err := rotator.SystemClock{}.Sleep(s.ctx, wait)
	if err == nil {
		fresh, err = s.logIn(s.ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.last, s.pause = err, time.Now(), min(2*s.pause, maxLoginPause)
	if err != nil {
		return nil, err
	}
	if stable {
		s.pause = minLoginPause
	}
	s.current = fresh
	s.wg.Go(func() { s.keep(fresh) })
	s.wg.Go(func() { retire(stale) })
	return fresh, nil
}

// keep renews the lease until that ends for any reason, and then has the lease replaced
// before its token expires.
func (s *session) keep(l *lease) {
	if l.token.renewable && l.token.ttl > 0 { // any other is used until Vault refuses it
		s.renew(l)
		s.succeed(l)
	}
}

// succeed returns once the lease has a successor. It does not wait for the end of the
// old lease, which follows the revocation of its token and can take long.
func (s *session) succeed(l *lease) {
	for l.ctx.Err() == nil {
		if _, err := s.replace(l.ctx, l); err == nil {
			return
		}
		_ = rotator.SystemClock{}.Sleep(l.ctx, minLoginPause) // replace itself keeps the distance between logins
	}
}

// renew ends with the first renewal that fails: otherwise the watcher repeats requests
// without a pause when Vault answers 400.
func (s *session) renew(l *lease) {
	client, err := newRenewalAPI(l.ctx, s.cfg, l.connections)
	if err != nil {
		return
	}
	watcher, err := client.NewLifetimeWatcher(&api.LifetimeWatcherInput{
		Secret: &api.Secret{Auth: &api.SecretAuth{
			ClientToken:   l.api.Token(),
			LeaseDuration: int(l.token.ttl / time.Second),
			Renewable:     true,
		}},
		RenewBehavior: api.RenewBehaviorErrorOnErrors,
	})
	if err != nil {
		return
	}
	s.wg.Go(watcher.Start)
	defer watcher.Stop()
	for {
		select {
		case renewal := <-watcher.RenewCh():
			s.cfg.OnToken(expiry(renewal.RenewedAt, lifetime(renewal.Secret.Auth.LeaseDuration)))
		case <-watcher.DoneCh():
			return
		case <-l.ctx.Done():
			return
		}
	}
}

// close waits for every goroutine of the session.
func (s *session) close() error {
	s.mu.Lock()
	closed := s.ctx.Err() != nil
	s.cancel()
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.wg.Wait()
	err := s.current.revoke()
	if s.current.token.minted {
		s.cfg.OnToken(time.Time{})
	}
	s.current.end()
	s.current.api.ClearToken()
	return err
}

// lease is one token with its connections. It is replaced as a whole, so a renewed
// certificate takes effect.
type lease struct {
	token       loginToken
	api         *api.Client
	connections *http.Client
	since       time.Time
	ctx         context.Context // ends when the lease is replaced or the session closed
	end         func()
}

// logIn obtains a token over new connections, within ctx and Patience.
func (s *session) logIn(ctx context.Context) (*lease, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	ctx, _ = withTries(ctx)
	client, connections, err := dial(s.cfg, s.login)
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(s.ctx)
	l := &lease{api: client, connections: connections, ctx: life, end: func() { stop(); connections.CloseIdleConnections() }}
	if l.token, err = s.login.authenticate(ctx, client); err != nil {
		l.end()
		return nil, fmt.Errorf("log in to vault by %s: %w", s.login.auth.Method, oneLine(err))
	}
	// From here on the API client holds the only copy, which it needs.
	client.SetToken(l.token.secret.RevealString())
	l.token.secret.Wipe()
	if uses := l.token.uses; uses > 0 {
		retire(l)
		return nil, fmt.Errorf("log in to vault by %s: %w", s.login.auth.Method, &usesError{uses, l.token.unlimited})
	}
	l.since = time.Now()
	s.cfg.OnToken(expiry(l.since, l.token.ttl))
	return l, nil
}

// expiry returns the zero time for a token that does not expire.
func expiry(since time.Time, ttl time.Duration) time.Time {
	if ttl <= 0 {
		return time.Time{}
	}
	return since.Add(ttl)
}

// wasStable reports whether a token lived long enough to count as expired, not as
// failing repeatedly.
func (l *lease) wasStable() bool {
	enough := maxLoginPause
	if l.token.ttl > 0 {
		enough = min(enough, l.token.ttl/2)
	}
	return time.Since(l.since) >= enough
}

// retire ends a replaced lease. It keeps the token: calls that still use it are refused
// and repeated with the new one, which would not happen if they were sent without a
// token.
func retire(l *lease) {
	_ = l.revoke() // the next login's error, if any, is more specific
	l.end()
}

// revoke revokes a token that was issued for us. A token that is already gone is no
// error, nor is a batch token, which Vault does not store.
func (l *lease) revoke() error {
	if !l.token.minted {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), revokeTimeout)
	defer cancel()
	err := l.api.Auth().Token().RevokeSelfWithContext(ctx, "")
	if err == nil || says(err, "invalid token") || says(err, "batch tokens cannot be revoked") {
		return nil
	}
	return fmt.Errorf("revoke our vault token, which is valid for up to %s more: %w", l.token.ttl, oneLine(err))
}
