package vault

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
)

// A record of 100 MB costs little more than what may be read of it, whether a
// length is announced or not. Vault itself stores none above 1 MiB; what answers
// in its place might send one.
func TestARecordOf100MBCostsWhatTheLargestMayCost(t *testing.T) {
	const size = 100 << 20
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	for _, announced := range []bool{true, false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if announced {
				w.Header().Set("Content-Length", "104857600")
			}
			_, err := w.Write([]byte(`{"data":{"data":{"v":"`))
			for sent := 0; sent < size && err == nil; sent += len(chunk) {
				_, err = w.Write(chunk)
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
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)

		_, err = client.Logical().ReadWithContext(t.Context(), "vault/data/smtp/x/admin")

		runtime.ReadMemStats(&after)
		server.Close()
		if !errors.Is(err, errTooLarge) {
			t.Errorf("length announced %t: got %v", announced, err)
		}
		// Growing buffers count several times over.
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 6*maxRecordSize>>20 {
			t.Errorf("length announced %t: allocated %d MB", announced, mb)
		}
	}
}
