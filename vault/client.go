// Package vault accesses the copy of record in HashiCorp Vault: the tenants' records in
// a KV version 2 mount, the master key in a Transit mount, and Vault's clock.
//
// A [Client] is one session: [Open] logs in and checks that the mount is KV version 2,
// and [Client.Close] revokes the token. A [Login] outlives the sessions, because some
// credentials work only once. A *Client is a rotator.Store and a rotator.Keys. For the
// doctor, an [HealthClient] reports Vault's health without a login, and [CheckLogin] and
// [Client.Examine] check each thing that a run needs.
//
// It promises:
//
//   - Every write is check-and-set against the version that was read; only
//     [Client.Create] creates a record, and only [Client.Remove] deletes one. It never uses Patch, whose helper ignores
//     the version.
//   - Unknown fields are written back as Vault returned them, numbers digit for
//     digit. (Vault's KV engine itself returns numbers as 64-bit floats.)
//   - An empty result never means "no tenants": an empty or missing prefix, mount
//     or key is an error that says what to check.
//   - Calls wait for a sealed, standby, overloaded or unreachable Vault, with
//     growing, jittered pauses, within the caller's deadline; one login for all
//     callers replaces an invalid token.
//   - No answer can exhaust the memory, and no VAULT_* variable of the environment
//     overrides the [Config].
//   - It follows no redirect: a token is sent to the Config's addresses only. A node that
//     cannot serve is left for the next of them.
//   - It reads what it has written, also from a node that lags behind.
//   - Tokens, keys and passwords appear in no error and no log.
//
// It imports rotator, crypto, internal/netfault and internal/peer, logs nothing, and starts
// no goroutine that Close does not wait for. Its assumptions were taken from Vault 1.21 and its API
// client 1.23 and are tested against a real server; the Kubernetes logins against one
// that reviews tokens as a cluster does.
package vault

import (
	"context"
	"encoding/json"
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

func openUnchecked(ctx context.Context, cfg Config, login *Login) (*Client, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	session, err := openSession(ctx, cfg, login)
	if err != nil {
		return nil, forbid(err)
	}
	return &Client{cfg: cfg, session: session}, nil
}

// Close revokes the token if it was made for this session. It takes ten seconds at most
// and waits for all goroutines of the session; running calls fail. A second call does
// nothing. An error means that the token stays valid until its lease ends: worth a
// warning.
func (c *Client) Close() error { return c.session.close() }

// WithPatience returns the session with another [Config.Patience] for its calls. It ends
// with the original.
func (c *Client) WithPatience(patience time.Duration) *Client {
	patient := &Client{cfg: c.cfg, session: c.session}
	patient.cfg.Patience = patience
	return patient
}

// call describes one request to Vault for error messages.
type call struct {
	verb       string // what it does, for people
	path       string // the requested path
	rule       string // the path in the policy that grants it
	capability string
}

// ask returns the data of an answer. With content the request is a PUT, otherwise a GET.
func ask[T any](ctx context.Context, c *Client, what call, path string, content any) (*T, error) {
	var answer struct{ Data *T }
	err := c.do(ctx, what, func(ctx context.Context, client *api.Client) error {
		body, err := readBody(request(ctx, client, path, content))
		if err != nil {
			return err
		}
		defer clear(body)
		return json.Unmarshal(body, &answer)
	})
	if err == nil && answer.Data == nil {
		err = fmt.Errorf("%s %s: vault's answer is empty", what.verb, what.path)
	}
	return answer.Data, err
}

func request(ctx context.Context, client *api.Client, path string, content any) (*api.Response, error) {
	if content == nil {
		return client.Logical().ReadRawWithContext(ctx, path)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	return client.Logical().WriteRawWithContext(ctx, path, body)
}

// do sends a request, and repeats it once if its token is no longer valid and a new one
// could be obtained. It returns [rotator.ErrForbidden] only for a refusal without an
// earlier try whose outcome is unknown.
func (c *Client) do(ctx context.Context, what call, send func(context.Context, *api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	certain, err := c.sendTwice(ctx, send)
	if err == nil {
		return nil
	}
	err = unavailable(oneLine(err))
	refused, lostToken := statusOf(err) == 403 && isVaults(err), errors.Is(err, errLogin)
	if refused && !lostToken {
		err = fmt.Errorf("%w; the token's policy needs: path %q { capabilities = [%q] }", err, what.rule, what.capability)
	}
	if certain && (refused || lostToken) {
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
