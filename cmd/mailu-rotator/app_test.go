package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailu-rotator/internal/config"
)

func TestTheTokensOfMailuAreWipedAtTheEndOfTheRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
	a := &app{cfg: &config.Config{}}
	a.cfg.Mailu.Servers = []config.Server{{Origin: "https://mail.example.com", TokenFile: file, MaxConcurrent: 1, Timeout: time.Second}}
	servers, err := a.servers()
	must(t, err)
	token := servers.tokens[0]
	value := token.Reveal()

	servers.Close()

	if !token.Empty() || string(value) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%q is left", value)
	}
}
