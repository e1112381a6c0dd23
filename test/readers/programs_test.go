// Package readers runs the programs of examples/readers against a real Vault and the
// Mailu test server: in every state that a rotation leaves, and while the real program
// rotates without a pause.
package readers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bound is when readers give up a login, as docs/readers.md says. While all is rotated,
// every login is accepted by then.
const bound = 10 * time.Second

// kit is what is compiled once, for all tests.
type kit struct {
	dir     string
	rotator string              // the real program
	readers map[string][]string // the command line of each reader, by language
}

func newKit(ctx context.Context) (k kit, err error) {
	if k.dir, err = os.MkdirTemp("", "readers-"); err != nil {
		return k, err
	}
	python, err := pythonWithCryptography(ctx)
	if err != nil {
		return k, err
	}
	examples, err := filepath.Abs("../../examples/readers")
	if err != nil {
		return k, err
	}
	source := func(name string) string { return filepath.Join(examples, name) }
	k.rotator = filepath.Join(k.dir, "mailu-rotator")
	k.readers = map[string][]string{
		"go":         {filepath.Join(k.dir, "reader")},
		"php":        {"php", source("reader.php")},
		"python":     {python, source("reader.py")},
		"shell":      {"/bin/sh", source("reader.sh")},
		"typescript": {"node", filepath.Join(k.dir, "reader.js")},
	}
	for _, command := range [][]string{
		{"go", "build", "-o", k.rotator, "../../cmd/mailu-rotator"},
		{"go", "build", "-o", filepath.Join(k.dir, "reader"), examples},
		{"tsc", "--strict", "--target", "es2022", "--lib", "es2022", "--module", "commonjs", "--outDir", k.dir, "testdata/node.d.ts", source("reader.ts")},
	} {
		if output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return k, fmt.Errorf("%s: %w (make test gets the tools: scripts/tools.sh readers)\n%s", strings.Join(command, " "), err, output)
		}
	}
	return k, nil
}

// pythonWithCryptography decides as scripts/tools.sh does.
func pythonWithCryptography(ctx context.Context) (path string, err error) {
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if err = exec.CommandContext(ctx, path, "-c", "import cryptography").Run(); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no python3 has the package cryptography (make test gets it: scripts/tools.sh readers): %w", err)
}

// reader is one of the programs, running.
type reader struct {
	t      *testing.T
	home   string // its working directory, HOME and TMPDIR
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr bytes.Buffer
	wait   func() error
}

// start runs a reader with this environment and nothing else until the test ends.
func (k kit) start(t *testing.T, language string, environment ...string) *reader {
	t.Helper()
	sources, err := filepath.Glob("../../examples/readers/*")
	must(t, err)
	for _, source := range sources {
		_, err := os.ReadFile(source) // go test watches what its own process opens, and runs again if that changes
		must(t, err)
	}
	r := &reader{t: t, home: t.TempDir()}
	command := k.readers[language]
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Stderr = r.home, &r.stderr
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.home, "TMPDIR=" + r.home}, environment...)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	r.stdin, err = cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	r.stdout, r.wait = bufio.NewScanner(stdout), cmd.Wait
	t.Cleanup(r.end)
	return r
}

// ask has the reader log in as a tenant's user; answer is the rest of its line.
func (r *reader) ask(tenant string) (answer string, took time.Duration, err error) {
	start := time.Now()
	if _, err := fmt.Fprintln(r.stdin, tenant); err != nil {
		return "", 0, fmt.Errorf("%w: %s", err, &r.stderr)
	}
	if !r.stdout.Scan() {
		return "", 0, fmt.Errorf("the reader ended: %w: %s", errors.Join(r.stdout.Err(), r.wait()), &r.stderr)
	}
	answer, found := strings.CutPrefix(r.stdout.Text(), tenant+" ")
	if !found {
		return "", 0, fmt.Errorf("asked for %s, the reader says %q", tenant, r.stdout.Text())
	}
	return answer, time.Since(start), nil
}

// expect fails the test unless the answer is this; or begins with it, if that is a
// failure, whose reason shows no password.
func (r *reader) expect(tenant, want string) (took time.Duration) {
	r.t.Helper()
	answer, took, err := r.ask(tenant)
	must(r.t, err)
	failure := strings.HasPrefix(want, "failed: ") && strings.HasPrefix(answer, want) && len(answer) > len("failed: ")
	if answer != want && !failure || strings.Contains(answer, first) || strings.Contains(answer, second) {
		r.t.Errorf("the reader says %q after %s, want %q; %s", answer, took, want, &r.stderr)
	}
	return took
}

// end checks that the reader left no file behind.
func (r *reader) end() {
	_ = r.stdin.Close()
	_ = r.wait() // it may have been killed with the test's context
	entries, err := os.ReadDir(r.home)
	must(r.t, err)
	for _, entry := range entries {
		r.t.Errorf("the reader left %s", entry.Name())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
