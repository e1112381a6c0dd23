package vault

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"
)

// lease is one token with its connections. It is replaced as a whole, so a renewed
// certificate takes effect.
type lease struct {
	grant       grant
	api         *api.Client
	renewal     *api.Client
	health      *api.Client // without namespace and token: sys/health belongs to the root namespace
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
	l, err := s.connect()
	if err != nil {
		return nil, err
	}
	if l.grant, err = s.login.authenticate(ctx, l.api); err != nil {
		l.end()
		return nil, err
	}
	// From here on the API client holds the only copy, which it needs.
	l.api.SetToken(l.grant.token.RevealString())
	l.grant.token.Wipe()
	if uses := l.grant.uses; uses > 0 {
		retire(l)
		return nil, fmt.Errorf("log in to vault by %s: %w", s.login.auth.Method, &usesError{uses, s.login.auth.unlimited(l.grant.role)})
	}
	l.since = time.Now()
	s.cfg.OnToken(expiry(l.since, l.grant.ttl))
	return l, nil
}

// expiry returns the zero time for a token that does not expire.
func expiry(since time.Time, ttl time.Duration) time.Time {
	if ttl <= 0 {
		return time.Time{}
	}
	return since.Add(ttl)
}

// connect prepares a lease without a token.
func (s *session) connect() (*lease, error) {
	certificate, err := s.login.clientCertificate()
	if err != nil {
		return nil, err
	}
	connections, err := newHTTPClient(s.cfg, certificate)
	if err != nil {
		return nil, err
	}
	client, err := newAPI(s.cfg, connections)
	if err != nil {
		return nil, err
	}
	root := s.cfg
	root.Namespace = ""
	health, err := newAPI(root, connections)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	l := &lease{api: client, health: health, connections: connections, ctx: ctx}
	l.end = func() { cancel(); connections.CloseIdleConnections() }
	if l.renewal, err = newRenewalAPI(ctx, s.cfg, connections); err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// livedWell reports whether a token lived long enough to count as expired, not as
// failing repeatedly.
func (l *lease) livedWell() bool {
	enough := maxLoginPause
	if l.grant.ttl > 0 {
		enough = min(enough, l.grant.ttl/2)
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
	if !l.grant.minted {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), revokeTimeout)
	defer cancel()
	err := l.api.Auth().Token().RevokeSelfWithContext(ctx, "")
	if err == nil || says(err, "invalid token") || says(err, "batch tokens cannot be revoked") {
		return nil
	}
	return fmt.Errorf("revoke our vault token, which is valid for up to %s more: %w", l.grant.ttl, oneLine(err))
}
