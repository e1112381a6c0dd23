//go:build boot

package boottest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for something that should take a moment.
const patience = 30 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a command of the host to its end and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	output, err := cmd.Output()
	if err != nil {
		return string(output), fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, output, &complaint)
	}
	return strings.TrimSpace(string(output)), nil
}

// property returns a unit's property as systemd reports it.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	return run(t, "systemctl", "show", "--property="+name, "--value", unit)
}

// await polls until check returns nil.
func await(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			journal, _ := try("journalctl", "--no-pager", "-n", "30")
			t.Fatalf("waiting for %s: %v\n%s", what, err, journal)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func awaitProperty(t *testing.T, unit, name, want string) {
	t.Helper()
	await(t, unit+" with "+name+"="+want, func() error {
		if got := property(t, unit, name); got != want {
			return errors.New(got)
		}
		return nil
	})
}

// dropIn adds settings to a unit, as systemctl edit does.
func dropIn(t *testing.T, unit, name, content string) {
	t.Helper()
	dir := filepath.Join("/etc/systemd/system", unit+".d")
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, name+".conf"), []byte(content), 0o644))
	run(t, "systemctl", "daemon-reload")
}

// entries returns the matching entries of a unit's journal, each with its fields.
func entries(t *testing.T, unit string, matches ...string) []map[string]any {
	t.Helper()
	run(t, "journalctl", "--sync")
	args := append([]string{"--no-pager", "-o", "json", "_SYSTEMD_UNIT=" + unit}, matches...)
	output := run(t, "journalctl", args...)
	var all []map[string]any
	for decoder := json.NewDecoder(strings.NewReader(output)); decoder.More(); {
		var entry map[string]any
		must(t, decoder.Decode(&entry))
		all = append(all, entry)
	}
	return all
}

func awaitEntries(t *testing.T, unit string, n int, matches ...string) []map[string]any {
	t.Helper()
	var all []map[string]any
	await(t, fmt.Sprintf("%d entries of %s with %s", n, unit, matches), func() error {
		if all = entries(t, unit, matches...); len(all) < n {
			return fmt.Errorf("%d so far", len(all))
		}
		return nil
	})
	return all
}
