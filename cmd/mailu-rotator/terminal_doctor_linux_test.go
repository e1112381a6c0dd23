package main

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"mailu-rotator/vault/vaulttest"
)

func TestDoctorIsColoredOnATerminalUnlessNO_COLORIsSet(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme")
	must(t, s.writeConfig())

	for env, colored := range map[string]bool{"": true, "NO_COLOR=1": false, "NO_COLOR=": true, "TERM=dumb": false} {
		screen, terminal := openTerminal(t)
		p := &program{ended: make(chan struct{})}
		p.cmd = exec.Command(s.binary, "doctor", "--config", s.configFile())
		p.cmd.Env = []string{env}
		p.cmd.Stdout, p.cmd.Stderr = terminal, &p.stderr
		s.launch(t, p)
		must(t, terminal.Close())
		var shown bytes.Buffer
		_, _ = io.Copy(&shown, screen) // reading ends with EIO when the program closes its side
		p.mustEnd(t, exitDone)
		s.ledger.record(t.Name()+" screen", shown.String)

		if got := strings.Contains(shown.String(), "\x1b[32m✓\x1b[0m"); got != colored || !strings.Contains(shown.String(), "✓") {
			t.Errorf("%q: colored is %t, want %t:\n%s", env, got, colored, &shown)
		}
	}
}

// TestDoctorFindsVaultSealed has its own Vault, since sealing the shared one would stop
// all other tests.
func TestDoctorFindsVaultSealed(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme")
	own := sealedVault(t)
	s.address = own.Addr
	must(t, s.writeConfig())

	p := s.start(t, "doctor")
	p.mustEnd(t, exitCannotRun)

	out := p.stdout.String()
	for _, want := range []string{"✓ initialised", "✗ unsealed", "→ vault operator unseal", "– login", "✓ http://"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func sealedVault(t *testing.T) *vaulttest.Server {
	t.Helper()
	own := vaulttest.Run(t, vaulttest.Options{})
	must(t, own.Seal(t.Context()))
	return own
}
