package vaulttest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// findBinary asks test/devstack/vault.sh unless the caller gives a binary. The first
// time on a machine this can take minutes, with progress on standard error.
func findBinary(ctx context.Context, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	_, source, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(source) {
		return "", fmt.Errorf("find test/devstack/vault.sh: the path of the sources is not in this binary (-trimpath?): set Options.Binary")
	}
	script := filepath.Join(filepath.Dir(source), "..", "..", "test", "devstack", "vault.sh")
	cmd := exec.CommandContext(ctx, script)
	// An interrupt lets the script stop its compiler and clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find a vault binary with %s: %w: see its output, or set MAILU_ROTATOR_VAULT", script, err)
	}
	return strings.TrimSpace(string(path)), nil
}
