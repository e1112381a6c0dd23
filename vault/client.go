package vault

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// Client is one session with Vault, meant to last for one sweep. Its methods
// may be called concurrently.
type Client struct {
	cfg     Config
	session *session
	// lookupSaysNothing is set once Vault refused a fresh token's own lookup. From then
	// on a refused lookup no longer means that a token is gone.
	lookupSaysNothing atomic.Bool
}

var (
	_ rotator.Store = (*Client)(nil)
	_ rotator.Keys  = (*Client)(nil)
)

// Open logs in and checks that the mount exists and is KV version 2. Like every call,
// it waits for a sealed or unreachable Vault until ctx ends or Config.Patience passes.
// If Vault refuses the credentials the error is [rotator.ErrForbidden]. The session
// outlives ctx; the caller must close it.
func Open(ctx context.Context, cfg Config, login *Login) (*Client, error) {
	c, err := openUnchecked(ctx, cfg, login)
	if err != nil {
		return nil, err
	}
	if err := c.checkMount(ctx); err != nil {
		_ = c.Close() // report the mount's error, not this one
		return nil, err
	}
	return c, nil
}

// openUnchecked is Open without the check of the mount.
func openUnchecked(ctx context.Context, cfg Config, login *Login) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("vault configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	session, err := openSession(ctx, cfg, login)
	if err != nil {
		return nil, forbid(err)
	}
	return &Client{cfg: cfg, session: session}, nil
}

// Close revokes the token if it was made for this session, and wipes it. It takes ten
// seconds at most and waits for all goroutines of the session; running calls fail. A
// second call does nothing. An error means that the token stays valid until its lease
// ends: worth a warning.
func (c *Client) Close() error { return c.session.close() }

// call describes one request to Vault for error messages.
type call struct {
	verb       string // what it does, for people
	path       string // the requested path
	rule       string // the path in the policy that grants it
	capability string
}

// do sends a request, and repeats it once if its token is no longer valid and a new one
// could be obtained. It returns [rotator.ErrForbidden] only for a refusal without an
// earlier try whose outcome is unknown.
func (c *Client) do(ctx context.Context, what call, send func(context.Context, *api.Client) error) error {
	if deadline, set := ctx.Deadline(); !set || time.Until(deadline) > c.cfg.Patience {
		patient, cancel := context.WithTimeout(ctx, c.cfg.Patience)
		defer cancel()
		ctx = patient
	}
	if what.rule == dataRule(c.cfg) {
		ctx = aboutOneRecord(ctx)
	}
	certain, err := c.sendTwice(ctx, send)
	if err == nil {
		return nil
	}
	err = unavailable(oneLine(err))
	noLogin := errors.Is(err, errLogin)
	if statusOf(err) == 403 && isVaults(err) && !noLogin {
		err = fmt.Errorf("%w; the token's policy needs: path %q { capabilities = [%q] }", err, what.rule, what.capability)
	}
	if certain && (statusOf(err) == 403 && isVaults(err) || noLogin) {
		err = forbid(err)
	}
	return fmt.Errorf("%s %s: %w", what.verb, what.path, err)
}

// errLogin marks a refused login, as distinct from the refusal of the request that made
// it necessary.
var errLogin = errors.New("the token is gone and cannot be replaced")

// sendTwice also reports whether the error answers every try, so that no earlier try
// can have had an effect.
func (c *Client) sendTwice(ctx context.Context, send func(context.Context, *api.Client) error) (certain bool, err error) {
	lease, err := c.session.lease()
	if err != nil {
		return true, err
	}
	certain, err = sendOnce(ctx, lease, send)
	if statusOf(err) != 403 {
		return certain, err
	}
	gone, lookupErr := c.isGone(ctx, lease, err)
	if lookupErr != nil {
		return certain, fmt.Errorf("refused, and it is not known whether the token is gone: %w", oneLine(lookupErr))
	}
	if !gone {
		return certain, err
	}
	fresh, loginErr := c.session.replace(ctx, lease)
	if loginErr != nil {
		return certain, fmt.Errorf("%w: %w", errLogin, loginErr)
	}
	guessed := !says(err, "invalid token")
	again, err := sendOnce(ctx, fresh, send)
	if guessed && statusOf(err) == 403 {
		c.lookupSaysNothing.Store(true)
	}
	return certain && again, err
}

func sendOnce(ctx context.Context, l *lease, send func(context.Context, *api.Client) error) (certain bool, err error) {
	ctx, failed := withTries(ctx)
	err = send(ctx, l.api)
	if errors.Is(err, context.DeadlineExceeded) && failed.last != nil {
		// A timeout in the last try does not explain why it was repeated.
		err = fmt.Errorf("%w; the try before: %w", err, failed.last)
	}
	return failed.n == 0, err
}

// isGone distinguishes a token that is no longer valid from one that lacks a
// permission. Vault before 1.10 answers "permission denied" in both cases, so isGone
// looks the token up, which the default policy allows.
func (c *Client) isGone(ctx context.Context, l *lease, refusal error) (bool, error) {
	if says(refusal, "invalid token") {
		return true, nil
	}
	if c.lookupSaysNothing.Load() {
		return false, nil
	}
	ctx, _ = withTries(ctx)
	_, err := l.api.Auth().Token().LookupSelfWithContext(ctx)
	if err == nil || statusOf(err) == 403 {
		return err != nil, nil
	}
	return false, err
}
