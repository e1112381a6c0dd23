package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/vault/vaulttest"
)

// shared is the common state of all tests of this package; TestMain can pass it only
// through a variable.
var shared *fixture

// fixture holds the real program and a real Vault, in which each test has its own mount,
// key and token, and a record of everything printed.
type fixture struct {
	dir    string // holds the binary
	binary string
	vault  *vaulttest.Server
	root   *api.Client
	sites  atomic.Int64
	seeded time.Time // the "now" of all seeds, so that equal ones are sealed once
	sealed sync.Map  // sealed passwords by password, and
	opened sync.Map  // passwords by sealed password: deriving a key is slow
	ledger ledger
}

// TestMain ends with the log scan, after everything has been printed.
func TestMain(m *testing.M) {
	if path, asked := os.LookupEnv(searchedRun); asked {
		if err := runAndSearch(path, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		return m.Run() // fuzz targets need no setup, and each of their workers calls TestMain
	}
	f, err := openFixture(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare the tests:", err)
		return 1
	}
	defer f.close()
	shared = f
	code := runWide(m)
	if leaks := f.ledger.leaks(); len(leaks) > 0 {
		fmt.Fprintln(os.Stderr, "--- FAIL: log scan: the program printed secrets:")
		for _, leak := range leaks {
			fmt.Fprintln(os.Stderr, "   ", leak)
		}
		return 1
	}
	return code
}

// runWide lets more tests run in parallel than there are processors, since they mostly
// wait for other processes; -parallel wins if it allows more.
func runWide(m *testing.M) int {
	const atOnce = 8
	parallel := flag.Lookup("test.parallel")
	if n, err := strconv.Atoi(parallel.Value.String()); err == nil && n < atOnce {
		_ = parallel.Value.Set(strconv.Itoa(atOnce)) // a number always parses
	}
	return m.Run()
}

func openFixture(ctx context.Context) (f *fixture, err error) {
	f = &fixture{seeded: time.Now()}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.dir, err = os.MkdirTemp("", "mailu-rotator-test-"); err != nil {
		return f, err
	}
	if err = os.Chmod(f.dir, 0o711); err != nil { // other users run the binary too
		return f, err
	}
	if err = f.build(ctx); err != nil {
		return f, err
	}
	if f.vault, err = vaulttest.Start(ctx, vaulttest.Options{}); err != nil {
		return f, err
	}
	// Mounts transit once, before parallel tests could race to do it.
	if err = f.vault.Provision(ctx, vaulttest.DefaultLayout()); err != nil {
		return f, err
	}
	f.ledger.addToken("vault root token", f.vault.RootToken)
	f.root, err = f.vault.Client()
	return f, err
}

// build builds the shipped program, with the race detector if the tests have it. It
// runs in its own processes, because hardening, signals, exit statuses and a terminal
// belong to a process.
func (f *fixture) build(ctx context.Context) error {
	f.binary = filepath.Join(f.dir, "mailu-rotator")
	args := []string{"build", "-ldflags", "-X main.version=v1.2.3-test -X main.commit=c0de -X main.epoch=1795392000", "-o", f.binary}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		// The standard library's hashes are excluded: under the race detector each of
		// the many key derivations takes six times as long.
		args = append(args, "-race", "-gcflags=crypto/internal/fips140/...=-race=false")
	}
	output, err := exec.CommandContext(ctx, "go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("build the program: %w", err), errors.New(string(output)))
	}
	return nil
}

func (f *fixture) close() {
	if f.vault != nil {
		f.vault.Stop()
	}
	if f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
}
