package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// profile fetches CPU profiles from the daemon in the middle of a scan, and of a sweep
// that rotates everything.
func (b *bench) profile(ctx context.Context) (err error) {
	largest := b.size.GrowScan[len(b.size.GrowScan)-1]
	scan := &fleet{prefix: fmt.Sprintf("scan-%d", largest), tenants: largest, age: young, mailus: anOrigin}
	if b.found.Profiles.Scan, err = b.profileOf(ctx, scan, 1); err != nil {
		return err
	}
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Servers, Users: b.size.Rotate})
	if err != nil {
		return err
	}
	defer mailu.kill()
	rotate := &fleet{prefix: "profile", tenants: b.size.Rotate, age: old, mailus: origins, schedule: "@every 2s"}
	b.found.Profiles.Rotation, err = b.profileOf(ctx, rotate, 2)
	return err
}

// profileOf returns the top of a profile that begins with the daemon's n-th run. The
// first run is the recovery.
func (b *bench) profileOf(ctx context.Context, f *fleet, n int) (string, error) {
	var err error
	if f.listen, err = freeAddress(); err != nil {
		return "", err
	}
	f.pprof = true
	if err := b.prepare(ctx, f); err != nil {
		return "", err
	}
	p, err := b.rotator(f)
	if err != nil {
		return "", err
	}
	defer p.kill()
	next := 0
	if _, _, err = p.await(ctx, 0, named("listening")); err != nil {
		return "", err
	}
	for range n {
		if _, next, err = p.await(ctx, next, named("sweep started", "recovery started")); err != nil {
			return "", err
		}
	}
	file := filepath.Join(b.dir, "profile.pb.gz")
	if err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", f.listen, int(b.size.Profile/time.Second)), file); err != nil {
		return "", err
	}
	return top(ctx, file)
}

// top lists the functions that took most time, flat and cumulative.
func top(ctx context.Context, file string) (string, error) {
	var all []string
	for _, order := range []string{"-flat", "-cum"} {
		output, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", order, "-nodecount=12", file).Output()
		if err != nil {
			return "", fmt.Errorf("go tool pprof -top: %w", err)
		}
		_, table, found := strings.Cut(string(output), "      flat")
		if !found {
			table = " nothing was sampled\n" // the time was too short
		}
		all = append(all, strings.TrimRight("      flat"+table, "\n"))
	}
	return strings.Join(all, "\n\n"), nil
}

func fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o600)
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
