package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
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

	mu      sync.Mutex // guards all fields below
	current *lease
	flight  *flight       // the running login
	failure error         // the error of the last login
	last    time.Time     // the end of the last login
	pause   time.Duration // minimum time from last to the next login
}

// flight is one login that all its callers wait for.
type flight struct {
	done  chan struct{}
	calm  bool // the token that it replaces lived long enough
	lease *lease
	err   error
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
	f, err := s.join(stale)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.lease, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a new vault token: %w", ctx.Err())
	}
}

func (s *session) join(stale *lease) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Until(s.last.Add(s.pause))
	switch {
	case s.ctx.Err() != nil:
		return nil, errClosed
	case s.current != stale:
		return landed(s.current), nil
	case s.flight != nil:
		return s.flight, nil
	case s.failure != nil && wait > 0:
		return nil, s.failure
	}
	f := &flight{done: make(chan struct{}), calm: stale.livedWell()} // computed before the wait, which would count as life
	s.flight = f
	s.wg.Go(func() { s.fly(f, stale, wait) })
	return f, nil
}

func landed(l *lease) *flight {
	f := &flight{done: make(chan struct{}), lease: l}
	close(f.done)
	return f
}

func (s *session) fly(f *flight, stale *lease, wait time.Duration) {
	if wait > 0 {
		s.cfg.OnWait(errors.New("the vault token ended early; logging in again"), wait)
	}
	if f.err = sleep(s.ctx, wait); f.err == nil {
		f.lease, f.err = s.logIn(s.ctx)
	}
	s.land(f)
	close(f.done)
	if f.err == nil {
		retire(stale)
	}
}

func (s *session) land(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight, s.failure, s.last = nil, f.err, time.Now()
	if f.err == nil && f.calm {
		s.pause = minLoginPause
	} else {
		s.pause = min(2*s.pause, maxLoginPause)
	}
	if f.err == nil {
		s.current = f.lease
		s.wg.Go(func() { s.keep(f.lease) })
	}
}

// keep renews the lease until that ends for any reason, and then has the lease replaced
// before its token expires.
func (s *session) keep(l *lease) {
	if !l.grant.renewable || l.grant.ttl <= 0 {
		return // it is used until Vault refuses it
	}
	s.renew(l)
	s.succeed(l)
}

// succeed returns once the lease has a successor. It does not wait for the end of the
// old lease, which follows the revocation of its token and can take long.
func (s *session) succeed(l *lease) {
	for {
		if _, err := s.replace(l.ctx, l); err == nil {
			return
		}
		if sleep(l.ctx, s.untilNextLogin()) != nil {
			return
		}
	}
}

// renew ends with the first renewal that fails: otherwise the watcher repeats requests
// without a pause when Vault answers 400.
func (s *session) renew(l *lease) {
	watcher, err := l.renewal.NewLifetimeWatcher(&api.LifetimeWatcherInput{
		Secret: &api.Secret{Auth: &api.SecretAuth{
			ClientToken:   l.api.Token(),
			LeaseDuration: int(l.grant.ttl / time.Second),
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
			if secret := renewal.Secret; secret != nil && secret.Auth != nil {
				s.cfg.OnToken(expiry(renewal.RenewedAt, lifetime(secret.Auth.LeaseDuration)))
			}
		case <-watcher.DoneCh():
			return
		case <-l.ctx.Done():
			return
		}
	}
}

func (s *session) untilNextLogin() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(time.Until(s.last.Add(s.pause)), minLoginPause)
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
	if s.current.grant.minted {
		s.cfg.OnToken(time.Time{})
	}
	s.current.end()
	s.current.api.ClearToken()
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
