package vault

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

const vaultVariable = "VAULT_"

// TakeEnvironment removes every VAULT_* variable from the environment of this process
// and returns a replacement for os.Getenv that still has them. Vault's API client
// parses all variables that it knows each time one is made, even if the [Config]
// overrides them: a missing CA file, meant for another program, would stop this
// one. Call it before other goroutines read the environment.
func TakeEnvironment() (getenv func(string) string) {
	taken := map[string]string{}
	for _, name := range vaultVariables() {
		taken[name] = os.Getenv(name)
		_ = os.Unsetenv(name) // fails only for names that the environment cannot have
	}
	return func(name string) string {
		if strings.HasPrefix(name, vaultVariable) {
			return taken[name]
		}
		return os.Getenv(name)
	}
}

// vaultVariables returns the names of the set ones.
func vaultVariables() []string {
	var names []string
	for _, setting := range os.Environ() {
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, vaultVariable) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// environmentError is returned when a client could not be made because the caller did
// not call TakeEnvironment. The API client's own message may quote a value.
func environmentError() error {
	return fmt.Errorf("set up the vault client: one of these variables of the environment does not parse, and none of them is used: unset %s", strings.Join(vaultVariables(), ", "))
}

// proxyOf returns HTTPS_PROXY, unless NO_PROXY names the host. Plain http goes to no
// proxy, which would see the token: it is for this host, by any of its names.
func proxyOf(req *http.Request) (*url.URL, error) {
	if req.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}
