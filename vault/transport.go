package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/semaphore"
)

const (
	maxRecordSize = 8 << 20
	maxListSize   = 256 << 20 // about two million tenants
	spareConns    = 4         // for logins, renewals and health checks beside the workers
)

// errTooLarge is returned when an answer exceeds its limit.
var errTooLarge = errors.New("answer is too large")

// newHTTPClient builds the connections of one login. Each presents the certificate,
// because Vault checks it again when the token is renewed.
func newHTTPClient(cfg Config, certificate *tls.Certificate) (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read vault's CA file: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("vault's CA file %s holds no PEM certificate", cfg.CAFile)
		}
	}
	if certificate != nil {
		// Not Certificates: the TLS library withholds those unless the server names
		// their issuer, and Vault's cert method accepts issuers that it never names.
		tlsConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate, nil
		}
	}
	conns := cfg.Workers + spareConns
	transport := &http.Transport{
		Proxy:               proxyOf,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConns:        conns,
		MaxIdleConnsPerHost: conns,
		ForceAttemptHTTP2:   true,
	}
	return &http.Client{
		Transport: &boundedTransport{
			next: transport, limiter: newRateLimiter(cfg), records: semaphore.NewWeighted(int64(cfg.Workers)),
			try: cfg.TryTimeout, onRequest: cfg.reportRequest, onRecords: cfg.onRecords,
		},
	}, nil
}

// newAPI builds a client without a token that retries as long as the call's context
// lasts.
func newAPI(cfg Config, connections *http.Client) (*api.Client, error) {
	retry := newRetry(cfg)
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
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			if life.Err() != nil {
				return false, life.Err()
			}
			return mayPass(ctx, resp, err)
		},
	})
}

func newAPIClient(cfg Config, from *api.Config) (*api.Client, error) {
	from.Address = cfg.Address
	client, err := api.NewClient(from)
	if err != nil {
		return nil, environmentError()
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
// would.
type boundedTransport struct {
	next      *http.Transport
	limiter   *rateLimiter // shared by all copies
	try       time.Duration
	life      context.Context // ends requests that have no context of their own; nil: all have one
	onRequest func(req *http.Request, status int, took time.Duration)

	records   *semaphore.Weighted // of the concurrent requests for records
	onRecords func(*http.Request) bool
}

func (t *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, end := t.alive(req.Context())
	if t.onRecords(req) {
		if err := t.records.Acquire(ctx, 1); err != nil {
			end()
			closeBody(req)
			return nil, err
		}
		defer t.records.Release(1)
	}
	alone, err := t.limiter.acquire(ctx)
	if err != nil {
		end()
		closeBody(req)
		return nil, err
	}
	// The time limit starts with the request's turn.
	ctx, cancel := context.WithTimeout(ctx, t.try)
	done := func() { cancel(); end() }
	begun := time.Now()
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	t.limiter.release(alone, resp)
	if err != nil {
		t.onRequest(req, 0, time.Since(begun))
		done()
		return nil, err
	}
	t.onRequest(req, resp.StatusCode, time.Since(begun))
	if err := foreign(req, resp); err != nil {
		_ = resp.Body.Close()
		done()
		return nil, err
	}
	resp.Body = &boundedBody{body: resp.Body, left: sizeLimit(req), done: done}
	return resp, nil
}

// closeBody does what a RoundTripper must also do for a request that it does not send.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// alive returns a context that also ends with life.
func (t *boundedTransport) alive(ctx context.Context) (context.Context, func()) {
	if t.life == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(t.life, cancel)
	return ctx, func() { release(); cancel() }
}

// CloseIdleConnections implements the interface that http.Client.CloseIdleConnections
// uses.
func (t *boundedTransport) CloseIdleConnections() { t.next.CloseIdleConnections() }

func sizeLimit(req *http.Request) int64 {
	if req.URL.Query().Get("list") == "true" {
		return maxListSize
	}
	return maxRecordSize
}

type boundedBody struct {
	body io.ReadCloser
	left int64
	done func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	// One byte more than allowed distinguishes a full answer from a cut one.
	n, err := b.body.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	if b.left < 0 {
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

// reportRequest reports a request by its operation: paths contain tenants' names.
func (c Config) reportRequest(req *http.Request, status int, took time.Duration) {
	c.OnRequest(c.operationOf(req), status, took)
}

// onRecords reports whether a request reads, writes or lists records: Workers limits how
// many of those are sent at a time. Logins and renewals are not delayed by them.
func (c Config) onRecords(req *http.Request) bool {
	switch c.operationOf(req) {
	case opList, opRead, opWrite:
		return true
	}
	return false
}

// operationOf uses the path, because the lifetime watcher's requests have no context
// that could carry a name.
func (c Config) operationOf(req *http.Request) string {
	_, path, _ := strings.Cut(strings.TrimSuffix(req.URL.Path, "/"), "/v1/")
	switch path {
	case "auth/token/lookup-self":
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
