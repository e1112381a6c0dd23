package vault

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

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
		client, err := newAPI(cfg, connections)
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

// An announced length alone costs nothing.
func TestAClaimedLengthIsNotAllocated(t *testing.T) {
	answer := &api.Response{Response: &http.Response{ContentLength: math.MaxInt64, Body: io.NopCloser(strings.NewReader("{}"))}}

	body, err := readBody(answer, nil)

	if err != nil || string(body) != "{}" || cap(body) > 2*maxRecordSize {
		t.Errorf("got %q of %d bytes, %v", body, cap(body), err)
	}
}
