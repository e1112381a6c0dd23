package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/semaphore"

	"mailu-rotator/internal/peer"
)

const (
	maxRecordSize = 8 << 20
	maxListSize   = 256 << 20 // about two million tenants
	spareConns    = 4         // for logins, renewals and health checks beside the workers
)

// errTooLarge is returned when an answer exceeds its limit.
var errTooLarge = errors.New("answer is too large")

// dial prepares a client without a token, over connections of its own. It sends no
// request.
func dial(cfg Config, login *Login) (*api.Client, *http.Client, error) {
	certificate, err := login.auth.clientCertificate()
	if err != nil {
		return nil, nil, err
	}
	connections, err := newHTTPClient(cfg, certificate)
	if err != nil {
		return nil, nil, err
	}
	client, err := newAPI(cfg, connections, connections.Transport.(*boundedTransport).nodes)
	return client, connections, err
}

// newHTTPClient builds the connections of one login. Each presents the certificate,
// because Vault checks it again when the token is renewed.
func newHTTPClient(cfg Config, certificate *tls.Certificate) (*http.Client, error) {
	authorities, err := peer.Authorities(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("vault's CA file: %w", err)
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities}
	if certificate != nil {
		// Not Certificates: the TLS library withholds those unless the server names
		// their issuer, and Vault's cert method accepts issuers that it never names.
		tlsConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate, nil
		}
	}
	return &http.Client{Transport: &boundedTransport{
		nodes: newNodes(cfg, tlsConfig), cfg: cfg, life: context.Background(),
		limiter: newRateLimiter(cfg), records: semaphore.NewWeighted(int64(cfg.Workers)),
	}}, nil
}

// newAPI builds a client without a token that retries as long as the call's context
// lasts.
func newAPI(cfg Config, connections *http.Client, nodes *nodes) (*api.Client, error) {
	retry := newRetry(cfg, nodes)
	return newAPIClient(cfg, &api.Config{
		HttpClient: connections,
		MaxRetries: math.MaxInt32,
		Backoff:    retry.backoff,
		CheckRetry: retry.check,
	})
}

// newRenewalAPI builds the client of the lifetime watcher. The watcher gives its
// requests no context: they end with life instead, and their pauses are short enough to
// wait for.
func newRenewalAPI(life context.Context, cfg Config, connections *http.Client) (*api.Client, error) {
	bounded := *connections.Transport.(*boundedTransport)
	bounded.life = life
	pause := min(time.Second, cfg.MaxWait)
	return newAPIClient(cfg, &api.Config{
		HttpClient: &http.Client{Transport: &bounded},
		Timeout:    30 * time.Second,
		MaxRetries: 4,
		Backoff:    func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return pause },
		CheckRetry: mayPass,
	})
}

func newAPIClient(cfg Config, from *api.Config) (*api.Client, error) {
	from.Address = cfg.Address
	// A node that answers reads by itself (a performance standby of Vault Enterprise, any
	// standby of OpenBao) answers 412 until it has what this client has written.
	from.ReadYourWrites = true
	client, err := api.NewClient(from)
	if err != nil { // the caller did not call TakeEnvironment; err may quote a value
		return nil, fmt.Errorf("set up the vault client: one of these variables of the environment does not parse, and none of them is used: unset %s", strings.Join(vaultVariables(), ", "))
	}
	// NewClient also takes these from the environment; the configuration wins.
	client.ClearToken()
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	if namespace := strings.Trim(cfg.Namespace, "/"); namespace != "" {
		client.SetNamespace(namespace)
	}
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	return client, nil
}

// boundedTransport limits every request in time and every answer in size, and the
// request rate when Vault asks for it. It returns an error for an answer that is not
// Vault's, so that no caller follows a redirect: net/http and the API client both
// would. It chooses the node.
type boundedTransport struct {
	nodes   *nodes
	cfg     Config
	life    context.Context     // also ends the requests
	limiter *rateLimiter        // shared by all copies
	records *semaphore.Weighted // of the concurrent requests for records
}

func (t *boundedTransport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	operation := t.cfg.operationOf(req)
	ctx, end := context.WithCancel(req.Context())
	unbind := context.AfterFunc(t.life, end)
	done := func() { unbind(); end() }
	defer func() {
		if err != nil {
			done()
			if req.Body != nil {
				_ = req.Body.Close() // as a RoundTripper must, also if it sends nothing
			}
		}
	}()
	switch operation {
	case opList, opRead, opWrite: // logins and renewals are not delayed by them
		if err := t.records.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		defer t.records.Release(1)
	}
	alone, err := t.limiter.acquire(ctx)
	if err != nil {
		return nil, err
	}
	// The time limits start with the request's turn.
	limited, cancel := context.WithTimeout(ctx, t.cfg.TryTimeout)
	silence := t.silenceLimit(ctx, operation)
	waiting := time.AfterFunc(silence, cancel)
	begun := time.Now()
	node := t.nodes.get(limited)
	resp, err = node.transport.RoundTrip(node.readdress(req.WithContext(limited)))
	if !waiting.Stop() && ctx.Err() == nil {
		if err == nil {
			_ = resp.Body.Close()
		}
		resp, err = nil, fmt.Errorf("no answer within %s: %w", silence, context.DeadlineExceeded)
	}
	t.limiter.release(alone, resp)
	if !errors.Is(ctx.Err(), context.Canceled) && (err != nil || cannotServe(resp)) {
		t.nodes.leave(node)
	}
	if err != nil {
		cancel()
		t.cfg.OnRequest(operation, 0, time.Since(begun))
		return nil, err
	}
	t.cfg.OnRequest(operation, resp.StatusCode, time.Since(begun))
	if err := foreign(req, resp); err != nil {
		_ = resp.Body.Close()
		cancel()
		return nil, err
	}
	limit := int64(maxRecordSize)
	if operation == opList {
		limit = maxListSize
	}
	resp.Body = &boundedBody{io.LimitedReader{R: resp.Body, N: limit + 1}, resp.Body, func() { cancel(); done() }}
	return resp, nil
}

// firstSilence is how long a first try waits for the beginning of an answer. A node that
// forwards to a lost leader answers nothing and keeps its connections alive. Each round of
// the nodes waits twice as long, so that a slow Vault is waited for too.
const firstSilence = 2 * time.Second

func (t *boundedTransport) silenceLimit(ctx context.Context, operation string) time.Duration {
	failed, ok := ctx.Value(triesKey{}).(*tries)
	if !ok || operation == opList { // which may be long
		return t.cfg.TryTimeout
	}
	rounds := failed.n / int(t.nodes.size.Load())
	return min(firstSilence<<min(rounds, 12), t.cfg.TryTimeout)
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (t *boundedTransport) CloseIdleConnections() { t.nodes.close() }

type boundedBody struct {
	io.LimitedReader // of one byte more than allowed, which distinguishes a full answer from a cut one
	body             io.Closer
	done             func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.LimitedReader.Read(p)
	if b.N <= 0 {
		return 0, errTooLarge
	}
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.done()
	return b.body.Close()
}

// The operations that [Config.OnRequest] distinguishes.
const (
	opLogin  = "login"
	opLookup = "lookup" // of the token
	opRenew  = "renew"
	opRevoke = "revoke"
	opUnwrap = "unwrap" // of a wrapped secret-id, and the look at it before
	opMounts = "mounts" // does the mount exist, and is it KV version 2
	opHealth = "health" // which includes Vault's clock
	opExport = "export" // of the master key
	opList   = "list"
	opRead   = "read"
	opWrite  = "write"
	opOther  = "other"
)

// Operations returns all operations that [Config.OnRequest] can receive.
func Operations() []string {
	return []string{
		opLogin, opLookup, opRenew, opRevoke, opUnwrap, opMounts, opHealth, opExport, opList, opRead, opWrite, opOther,
	}
}

// operationOf uses the path, because the lifetime watcher's requests have no context
// that could carry a name.
func (c Config) operationOf(req *http.Request) string {
	_, path, _ := strings.Cut(strings.TrimSuffix(req.URL.Path, "/"), "/v1/")
	switch path {
	case lookupSelf:
		return opLookup
	case "auth/token/renew-self":
		return opRenew
	case "auth/token/revoke-self":
		return opRevoke
	case "sys/health":
		return opHealth
	case "sys/internal/ui/mounts/" + c.Mount:
		return opMounts
	case exportPath(c):
		return opExport
	case listPath(c):
		return opList
	}
	switch {
	case strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/login"):
		return opLogin
	case strings.HasPrefix(path, "sys/wrapping/"):
		return opUnwrap
	case strings.HasPrefix(path, c.Mount+"/data/") && req.Method == http.MethodGet:
		return opRead
	case strings.HasPrefix(path, c.Mount+"/data/"):
		return opWrite
	}
	return opOther
}
