package vault

import (
	"net/http"
	"slices"
	"testing"
)

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
