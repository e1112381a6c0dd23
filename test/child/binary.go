package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Binary returns the path of a server, "vault" or "nats", for tests: given, unless that is
// empty, else what the server's script in test/devstack finds or builds. The first time on
// a machine that can take minutes, with progress on standard error.
func Binary(ctx context.Context, server, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	_, source, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(source) {
		return "", fmt.Errorf("find test/devstack/%s.sh: the path of the sources is not in this binary (-trimpath?): set Options.Binary", server)
	}
	script := filepath.Join(filepath.Dir(source), "..", "devstack", server+".sh")
	cmd := exec.CommandContext(ctx, script)
	// An interrupt lets the script stop its compiler and clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the binary of %s with %s: %w: see its output, or set MAILU_ROTATOR_%s", server, script, err, strings.ToUpper(server))
	}
	return strings.TrimSpace(string(path)), nil
}
