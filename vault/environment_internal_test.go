package vault

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

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
