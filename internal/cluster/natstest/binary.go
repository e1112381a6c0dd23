package natstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// findBinary asks test/devstack/nats.sh unless the caller gives a binary. The first time
// on a machine this takes half a minute.
func findBinary(ctx context.Context, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	_, source, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(source) {
		return "", errors.New("find test/devstack/nats.sh: the path of the sources is not in this binary (-trimpath?): set Options.Binary")
	}
	script := filepath.Join(filepath.Dir(source), "..", "..", "..", "test", "devstack", "nats.sh")
	cmd := exec.CommandContext(ctx, script)
	cmd.Stderr = os.Stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find a nats-server binary with %s: %w: see its output, or set MAILU_ROTATOR_NATS", script, err)
	}
	return strings.TrimSpace(string(path)), nil
}
