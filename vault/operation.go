package vault

import (
	"net/http"
	"strings"
	"time"
)

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

// told reports a request by its operation: paths contain tenants' names.
func (c Config) told(req *http.Request, status int, took time.Duration) {
	c.OnRequest(c.operationOf(req), status, took)
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
