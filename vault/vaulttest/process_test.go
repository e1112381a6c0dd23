package vaulttest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/vault/vaulttest"
)

func TestStoppedAndKilledServersAreGone(t *testing.T) {
	for name, end := range map[string]func(*vaulttest.Server){
		"stop": (*vaulttest.Server).Stop,
		"kill": (*vaulttest.Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			s := vaulttest.Run(t, vaulttest.Options{})

			end(s)

			if _, err := client(t, s).Sys().HealthWithContext(t.Context()); err == nil {
				t.Fatal("the server still answers")
			}
		})
	}
}

func TestStopIsOrderly(t *testing.T) {
	var log buffer
	s := vaulttest.Run(t, vaulttest.Options{Log: &log})

	before := time.Now()
	s.Stop()

	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if !strings.Contains(log.String(), "vault is sealed") && !strings.Contains(log.String(), "core is sealed") {
		t.Errorf("the server did not seal itself before it ended; it printed:\n%s", log.String())
	}
}

func TestServersRunSideBySide(t *testing.T) {
	var all sync.WaitGroup
	servers := make([]*vaulttest.Server, 6)
	errs := make([]error, len(servers))
	for i := range servers {
		all.Go(func() { servers[i], errs[i] = vaulttest.Start(t.Context(), vaulttest.Options{}) })
	}
	all.Wait()

	for i, s := range servers {
		if errs[i] != nil {
			t.Error(errs[i])
			continue
		}
		defer s.Stop()
		if _, err := client(t, s).Auth().Token().LookupSelfWithContext(t.Context()); err != nil {
			t.Errorf("server %d does not know its own root token: %v", i, err)
		}
	}
}

func TestBrokenBinaryIsExplained(t *testing.T) {
	script := filepath.Join(t.TempDir(), "vault")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no such luck\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}

	_, err := vaulttest.Start(t.Context(), vaulttest.Options{Binary: script})

	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Fatalf("got %v, want what the program printed", err)
	}
}

// buffer is a bytes.Buffer that the server can write while the test reads.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
