package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// The client reads little more of a 100 MB record than the limit, with or without a
// Content-Length, so that it costs no more than the largest accepted record. Vault
// itself stores none above 1 MiB; another server in its place might send one.
func TestARecordOf100MBCostsWhatTheLargestMayCost(t *testing.T) {
	const size = 100 << 20
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	for _, announced := range []bool{true, false} {
		var sent atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if announced {
				w.Header().Set("Content-Length", "104857600")
			}
			_, err := w.Write([]byte(`{"data":{"data":{"v":"`))
			for sent.Load() < size && err == nil {
				_, err = w.Write(chunk)
				sent.Add(int64(len(chunk)))
			}
		}))
		cfg := Config{Address: server.URL, Workers: 1}.withDefaults()
		connections, err := newHTTPClient(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := newAPI(cfg, connections, newNodes(cfg, nil))
		if err != nil {
			t.Fatal(err)
		}

		_, err = client.Logical().ReadWithContext(t.Context(), "vault/data/smtp/x/admin")

		server.Close()
		if !errors.Is(err, errTooLarge) {
			t.Errorf("length announced %t: got %v", announced, err)
		}
		// Data in the socket buffers was sent but never read.
		if mb := sent.Load() >> 20; mb > 4*maxRecordSize>>20 {
			t.Errorf("length announced %t: %d MB were taken", announced, mb)
		}
	}
}

func TestEachRoundOfTheNodesWaitsTwiceAsLong(t *testing.T) {
	transport := boundedTransport{nodes: &nodes{}, cfg: Config{TryTimeout: time.Minute}}
	transport.nodes.size.Store(3)
	for failed, seconds := range map[int]int{0: 2, 2: 2, 3: 4, 5: 4, 6: 8, 12: 32, 15: 60, 600: 60} {
		want := time.Duration(seconds) * time.Second
		ctx, tries := withTries(t.Context())
		tries.n = failed

		if got := transport.silenceLimit(ctx, opRead); got != want {
			t.Errorf("after %d tries at 3 nodes: %s, want %s", failed, got, want)
		}
		if got := transport.silenceLimit(ctx, opList); got != time.Minute {
			t.Errorf("a list after %d tries: %s, want the whole time of a try", failed, got)
		}
	}
}

// Only the wait for its beginning is short: an answer may take its time.
func TestALongAnswerIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"data":`))
		w.(http.Flusher).Flush()
		time.Sleep(firstSilence + 500*time.Millisecond)
		_, _ = w.Write([]byte(`{"v":"1"}}`))
	}))
	defer server.Close()
	cfg := Config{Address: server.URL, Workers: 1}.withDefaults()
	connections, err := newHTTPClient(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newAPI(cfg, connections, newNodes(cfg, nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := withTries(t.Context())

	read, err := client.Logical().ReadWithContext(ctx, "vault/data/smtp/x/admin")

	if err != nil || read.Data["v"] != "1" || asked.Load() != 1 {
		t.Errorf("got %v, %v after %d requests, want the answer to the first", read, err, asked.Load())
	}
}

// Who gives up says nothing about the node, which serves the others.
func TestACancelledCallDoesNotLeaveItsNode(t *testing.T) {
	t.Parallel()
	ctx, giveUp := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		giveUp()
		<-r.Context().Done()
	}))
	defer server.Close()
	connections, err := newHTTPClient(Config{Address: server.URL, OtherAddresses: []string{"http://127.0.0.1:1"}, Workers: 1}.withDefaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	nodes := connections.Transport.(*boundedTransport).nodes
	asked := nodes.get(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/vault/data/smtp/x/admin", nil)
	if err != nil {
		t.Fatal(err)
	}

	resp, err := connections.Do(req)

	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, context.Canceled) || nodes.get(t.Context()) != asked {
		t.Errorf("%v; %s is asked now instead of %s", err, nodes.get(t.Context()), asked)
	}
}

// An announced length alone costs nothing.
func TestAClaimedLengthIsNotAllocated(t *testing.T) {
	answer := &api.Response{Response: &http.Response{ContentLength: math.MaxInt64, Body: io.NopCloser(strings.NewReader("{}"))}}

	body, err := readBody(answer, nil)

	if err != nil || string(body) != "{}" || cap(body) > 2*maxRecordSize {
		t.Errorf("got %q of %d bytes, %v", body, cap(body), err)
	}
}

// The standard library reads the proxy variables once per process, so each case runs in
// its own process.
func TestProxyOfTheEnvironment(t *testing.T) {
	const asked = "TEST_PROXY_OF"
	if address := os.Getenv(asked); address != "" {
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := proxyOf(req)
		t.Logf("proxy=%v error=%v", proxy, err)
		return
	}
	tests := map[string]struct{ address, proxy, want string }{
		"https":                 {"https://vault.example.com:8200", "http://proxy.example.com:3128", "proxy=http://proxy.example.com:3128 error=<nil>"},
		"http shows the token":  {"http://vault.example.com:8200", "http://proxy.example.com:3128", "proxy=<nil> error=<nil>"},
		"this host in capitals": {"http://LOCALHOST:8200", "http://proxy.example.com:3128", "proxy=<nil> error=<nil>"},
		"this host over TLS":    {"https://127.0.0.1:8200", "http://proxy.example.com:3128", "proxy=<nil> error=<nil>"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyOfTheEnvironment$", "-test.v")
			cmd.Env = []string{asked + "=" + test.address, "HTTPS_PROXY=" + test.proxy, "HTTP_PROXY=" + test.proxy}

			output, err := cmd.CombinedOutput()

			if err != nil || !strings.Contains(string(output), test.want+"\n") {
				t.Errorf("want %s, got %v\n%s", test.want, err, output)
			}
		})
	}
}

func TestOperationsGoByThePath(t *testing.T) {
	cfg := Config{Mount: "kv/mail", Prefix: "smtp", Leaf: "admin", Transit: Transit{Mount: "transit", Key: "smtp-master"}}
	for _, c := range []struct{ method, path, want string }{
		{"PUT", "/v1/auth/ops/approle/login", opLogin},
		{"PUT", "/v1/auth/cert/login", opLogin},
		{"GET", "/v1/auth/token/lookup-self", opLookup},
		{"PUT", "/v1/auth/token/renew-self", opRenew},
		{"PUT", "/v1/auth/token/revoke-self", opRevoke},
		{"PUT", "/v1/sys/wrapping/unwrap", opUnwrap},
		{"PUT", "/v1/sys/wrapping/lookup", opUnwrap},
		{"GET", "/v1/sys/internal/ui/mounts/kv/mail", opMounts},
		{"GET", "/v1/sys/health?standbyok=true", opHealth},
		{"GET", "/v1/transit/export/encryption-key/smtp-master", opExport},
		{"GET", "/v1/kv/mail/metadata/smtp?list=true", opList},
		{"LIST", "/v1/kv/mail/metadata/smtp/", opList},
		{"GET", "/v1/kv/mail/data/smtp/6f1c2f0e-9a43-4c55-8f0b-6a9a7f1f2b11/admin?version=3", opRead},
		{"PUT", "/v1/kv/mail/data/smtp/6f1c2f0e-9a43-4c55-8f0b-6a9a7f1f2b11/admin", opWrite},
		{"GET", "/behind/a/proxy/v1/sys/health", opHealth},
		{"GET", "/v1/sys/seal-status", opOther},
	} {
		req, err := http.NewRequest(c.method, "https://vault.example.com"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}

		got := cfg.operationOf(req)

		if got != c.want {
			t.Errorf("%s %s is %s, want %s", c.method, c.path, got, c.want)
		}
		if !slices.Contains(Operations(), got) {
			t.Errorf("%s is not among the operations", got)
		}
	}
}

// Ten callers with three workers: three requests for records at a time, and a request
// that concerns no record waits for none of them.
func TestWorkersBoundConcurrentRequestsForRecords(t *testing.T) {
	var now, most atomic.Int32
	var once sync.Once
	full, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/data/") {
			return
		}
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		if n == 3 {
			once.Do(func() { close(full) })
		}
		<-release
		_, _ = w.Write([]byte(`{"data":{}}`))
	}))
	defer server.Close()
	cfg := Config{Address: server.URL, Mount: "vault", Workers: 3}.withDefaults()
	connections, err := newHTTPClient(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/"+path, nil)
		if err != nil {
			return err
		}
		resp, err := connections.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	failures := make(chan error, 10)
	for range 10 {
		go func() { failures <- get("vault/data/smtp/x/admin") }()
	}
	<-full

	other := get("sys/seal-status")

	close(release)
	for range 10 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if other != nil || most.Load() != 3 {
		t.Errorf("%d requests for records at a time, want 3; beside them %v", most.Load(), other)
	}
}
