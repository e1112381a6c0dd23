package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// againstScript measures the program against a script as an operator would write it, on Mailu
// servers that answer immediately. Both are timed as a whole, from exec to exit.
func (b *bench) againstScript(ctx context.Context) error {
	script, err := b.newBaselineScript(ctx)
	if err != nil {
		return err
	}
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Servers, Users: b.size.Script})
	if err != nil {
		return err
	}
	defer mailu.kill()
	few := &fleet{prefix: "script-few", tenants: max(b.size.Script/2, 1), age: old, mailus: origins}
	f := &fleet{prefix: "script", tenants: b.size.Script, age: old, mailus: origins, verify: "none", apart: true}
	for _, fleet := range []*fleet{few, f} {
		if err := b.prepare(ctx, fleet); err != nil {
			return err
		}
	}
	parallel, err := b.tune(ctx, script, few)
	if err != nil {
		return err
	}
	taken, err := b.interleave(ctx,
		func(ctx context.Context) (float64, error) {
			begun := time.Now()
			if _, err := b.runNow(ctx, f); err != nil {
				return 0, err
			}
			return float64(f.tenants) / time.Since(begun).Seconds(), nil
		},
		func(ctx context.Context) (float64, error) { return b.runScript(ctx, script, f, parallel) })
	if err != nil {
		return err
	}
	b.add(row{
		Key: "script", What: fmt.Sprintf("rotations/s, Mailu cost zero, verify none, %d tenants, exec to exit", f.tenants),
		Against: fmt.Sprintf("a shell script of vault, curl, jq and openssl, xargs -P %d", parallel), Unit: "/s",
		Target: 8, Tolerance: 0.25, Tenants: f.tenants, Servers: len(origins),
		Note: "the script writes once where the program writes twice, so a crash between its push and its write loses a password",
	}.compared(taken[0], taken[1], ratios(taken[0], taken[1])))
	return nil
}

// baselineScript is the script, ready to run.
type baselineScript struct {
	file string
	env  []string
}

func (b *bench) newBaselineScript(ctx context.Context) (*baselineScript, error) {
	cli := b.vaultCLI
	if cli == "" {
		build := exec.CommandContext(ctx, filepath.Join(b.repository, "test", "bench", "vaultcli", "build.sh"))
		build.Stderr = os.Stderr
		found, err := build.Output()
		if err != nil {
			return nil, fmt.Errorf("find vault's command line: %w: set MAILU_ROTATOR_VAULT_CLI", err)
		}
		cli = strings.TrimSpace(string(found))
	}
	for _, tool := range []string{"bash", "curl", "jq", "openssl", "xargs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("the baseline script needs %s: scripts/tools.sh script: %w", tool, err)
		}
	}
	key, err := b.file("master.key", "a master key of 32 bytes of ours")
	if err != nil {
		return nil, err
	}
	header, err := b.file("mailu.header", "Authorization: Bearer "+mailuToken)
	if err != nil {
		return nil, err
	}
	return &baselineScript{
		file: filepath.Join(b.repository, "test", "bench", "baseline.sh"),
		env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "VAULT=" + cli, "VAULT_ADDR=" + b.vault.Addr,
			"KEY_FILE=" + key, "HEADER_FILE=" + header,
		},
	}, nil
}

// tune finds the best concurrency for the script.
func (b *bench) tune(ctx context.Context, s *baselineScript, f *fleet) (best int, err error) {
	var most float64
	for _, parallel := range []int{1, 2, 4, 8, 16} {
		rate, err := b.runScript(ctx, s, f, parallel)
		if err != nil {
			return 0, err
		}
		b.progress(fmt.Sprintf("  the script, -P %d: %.3g/s", parallel, rate))
		if rate > most {
			best, most = parallel, rate
		}
	}
	return best, nil
}

// runScript runs the script once and returns the tenants rotated per second. It checks
// that each of them has one version more.
func (b *bench) runScript(ctx context.Context, s *baselineScript, f *fleet, parallel int) (float64, error) {
	before, err := b.versions(ctx, f)
	if err != nil {
		return 0, err
	}
	rate, err := s.run(ctx, f, parallel)
	if err != nil {
		return 0, err
	}
	after, err := b.versions(ctx, f)
	if err == nil && after != before+f.tenants {
		err = fmt.Errorf("%s wrote %d records of %d", s.file, after-before, f.tenants)
	}
	return rate, err
}

// versions is the sum of all records' versions.
func (b *bench) versions(ctx context.Context, f *fleet) (sum int, err error) {
	for i := range f.tenants {
		_, version, err := b.vault.Get(ctx, f.prefix+"/"+tenantID(i)+"/admin")
		if err != nil {
			return 0, err
		}
		sum += version
	}
	return sum, nil
}

// run ends the script and all its child processes when ctx ends.
func (s *baselineScript) run(ctx context.Context, f *fleet, parallel int) (float64, error) {
	token, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return 0, err
	}
	line := onOwnCores(s.file, f.prefix, strconv.Itoa(parallel))
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(s.env, "VAULT_TOKEN="+strings.TrimSpace(string(token)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	begun := time.Now()
	if output, err := cmd.CombinedOutput(); err != nil {
		return 0, errors.Join(ctx.Err(), fmt.Errorf("%s: %w; it said:\n%s", s.file, err, output))
	}
	return float64(f.tenants) / time.Since(begun).Seconds(), nil
}
