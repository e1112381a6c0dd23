package config

import (
	"strings"
	"testing"
)

func TestListensOnLoopbackUnlessTold(t *testing.T) {
	network, address := loadGood(t, "minimal.yaml").Listen.Endpoint()

	if network != "tcp" || address != "127.0.0.1:9180" {
		t.Errorf("listens on %s %s", network, address)
	}
}

func TestAnEmptyAddressTurnsTheListenerOff(t *testing.T) {
	if network, address := loadGood(t, "listen-off.yaml").Listen.Endpoint(); network != "" || address != "" {
		t.Errorf("listens on %s %s", network, address)
	}
}

func TestListensOnASocket(t *testing.T) {
	network, address := loadGood(t, "listen-socket.yaml").Listen.Endpoint()

	if network != "unix" || address != "/run/mailu-rotator/http.sock" {
		t.Errorf("listens on %s %s", network, address)
	}
}

func TestListensElsewhereWithAToken(t *testing.T) {
	c := loadGood(t, "listen-token.yaml")

	if c.Listen.Address != "[::]:9180" || !strings.HasSuffix(c.Listen.TokenFile, "/testdata/good/page.token") || !c.Listen.PProf || !c.Listen.TenantLabel {
		t.Errorf("got %+v", c.Listen)
	}
}

func TestOnlyLoopbackNeedsNoToken(t *testing.T) {
	for address, needsToken := range map[string]bool{
		"127.0.0.1:9180": false, "127.8.9.10:9180": false, "[::1]:9180": false, "localhost:9180": false,
		"[::ffff:127.0.0.1]:9180": false, "unix:/run/x.sock": false, "": false,
		":9180": true, "0.0.0.0:9180": true, "[::]:9180": true, "192.0.2.1:9180": true, "ops.example.com:9180": true,
		"localhost.example.com:9180": true,
	} {
		l := newLoader("/", environment{}.get)

		l.validateListen(&Listen{Address: address})

		if refused := l.err() != nil; refused != needsToken {
			t.Errorf("%q: refused %v", address, l.err())
		}
		l = newLoader("/", environment{}.get)
		if l.validateListen(&Listen{Address: address, TokenFile: "/token"}); l.err() != nil {
			t.Errorf("%q with a token: %v", address, l.err())
		}
	}
}
