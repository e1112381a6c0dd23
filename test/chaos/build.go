package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// change is a difference from the shipped program. It is applied to the sources only
// while they are compiled.
type change struct {
	file string // below the module's root
	old  string // the text to replace, which must occur once; "" creates a new file
	new  string
}

// build compiles the program from this module's sources. The shipped program gets the
// race detector if this program has it.
func build(ctx context.Context, dir, name string, changes ...change) (binary string, err error) {
	binary = filepath.Join(dir, name)
	args := []string{"build", "-o", binary}
	if raced() && len(changes) == 0 {
		// The standard library's hashes are excluded: under the race detector each of
		// the many key derivations takes six times as long.
		args = append(args, "-race", "-gcflags=crypto/internal/fips140/...=-race=false")
	}
	if len(changes) > 0 {
		overlay, err := overlay(ctx, dir, name, changes)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	output, err := exec.CommandContext(ctx, "go", append(args, "mailu-rotator/cmd/mailu-rotator")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return binary, nil
}

func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// overlay writes the changed files and the compiler's list of them.
func overlay(ctx context.Context, dir, name string, changes []change) (string, error) {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the sources: %w", err)
	}
	replace := map[string]string{}
	for i, c := range changes {
		original := filepath.Join(strings.TrimSpace(string(module)), c.file)
		text, err := c.apply(original)
		if err != nil {
			return "", err
		}
		changed := filepath.Join(dir, fmt.Sprintf("%s-%d.go", name, i))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[original] = changed
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, name+"-overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

func (c change) apply(original string) (string, error) {
	if c.old == "" {
		return c.new, nil
	}
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), c.old); n != 1 {
		return "", fmt.Errorf("change %s: %q is there %d times, want 1: the source has moved on, follow it", c.file, c.old, n)
	}
	return strings.Replace(string(text), c.old, c.new, 1), nil
}
