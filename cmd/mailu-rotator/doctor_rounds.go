package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
)

// doctor checks an installation, from what everything depends on to the single record.
// It skips checks whose requirements failed.
type doctor struct {
	path   string
	stderr io.Writer
	fleet  *fleet
}

const (
	checkConfig     = "configuration"
	checkFiles      = "files"
	checkLogin      = "login"
	checkServers    = "servers"
	checkRecords    = "records"
	checkWellFormed = "well-formed"
	everythingElse  = "everything else"
)

// examine runs all checks until ctx ends, and those of the servers concurrently.
func (d *doctor) examine(ctx context.Context) diagnosis {
	result := diagnosis{config: d.path, started: time.Now()}
	setUp := section{title: "Configuration", required: true, checks: d.configuration()}
	result.sections = append(result.sections, setUp)
	if d.fleet == nil {
		result.sections = append(result.sections, section{title: "Vault, Mailu, tenants", checks: rotator.Skipped("the configuration is not in order", everythingElse)})
		result.finished = time.Now()
		return result
	}
	asked := make(chan []rotator.Check, 1)
	go func() { asked <- d.mailu(ctx) }()
	inVault, records := d.vault(ctx, &result)
	result.sections = append(result.sections,
		section{title: "Vault", required: true, checks: inVault},
		section{title: "Mailu", checks: <-asked},
		section{title: "Tenants", checks: records})
	result.finished = time.Now()
	return result
}

// configuration also wires the fleet, if there is enough to do so. An unreadable secret
// file is no reason to stop: the check that needs it reports it.
func (d *doctor) configuration() []rotator.Check {
	cfg, err := config.Load(d.path, getenv)
	if err != nil {
		fix := fmt.Sprintf("fix %s, then: %s", d.path, d.command("config check"))
		if errors.Is(err, fs.ErrNotExist) {
			fix = "install -m 644 config.yaml " + d.path
		}
		return append([]rotator.Check{rotator.Broken(checkConfig, err.Error(), fix)}, rotator.Skipped("the configuration is not in order", checkFiles)...)
	}
	checks := []rotator.Check{rotator.Passed(checkConfig, d.path)}
	for _, err := range lines(cfg.CheckFiles()) {
		checks = append(checks, rotator.Broken(checkFiles, err.Error(), fixFile(err)))
	}
	for _, err := range lines(cfg.CheckHooks()) {
		checks = append(checks, rotator.Warned(checkFiles, err.Error(), fixProgram(err)))
	}
	if len(checks) == 1 {
		checks = append(checks, rotator.Passed(checkFiles, "all there, and only for whom they are meant"))
	}
	if d.fleet, err = newFleet(cfg, newLogger(cfg.Log, d.stderr), nil); err != nil {
		checks = append(checks, rotator.Broken(checkConfig, err.Error(), "fix "+d.path))
	}
	return checks
}

func fixFile(err error) string {
	var mode *config.ModeError
	if errors.As(err, &mode) {
		return mode.Fix
	}
	var file *fs.PathError
	if errors.As(err, &file) && errors.Is(err, fs.ErrNotExist) {
		return "install -m 600 /dev/stdin " + file.Path
	}
	return "put into the file what its key names, and nothing else"
}

// fixProgram is fixFile for the program of a hook.
func fixProgram(err error) string {
	var program *config.ProgramError
	if errors.As(err, &program) {
		return program.Fix
	}
	return fixFile(err)
}

// vault stops at the first failed check on which all later ones depend. The records
// have their own section: a run can work without some of them.
func (d *doctor) vault(ctx context.Context, result *diagnosis) (checks, records []rotator.Check) {
	skip := func(because string, rest ...string) ([]rotator.Check, []rotator.Check) {
		return append(checks, rotator.Skipped(because, rest...)...), rotator.Skipped(because, checkWellFormed)
	}
	cfg := d.fleet.vaultConfig()
	cfg.Patience, cfg.OnWait = doctorPatience, nil
	outside, err := vault.NewOutside(cfg, d.fleet.login)
	if err != nil {
		checks = []rotator.Check{rotator.Broken(checkLogin, err.Error(), "fix the files that the login needs")}
		return skip("there is no way to Vault", everythingElse)
	}
	defer outside.Close()
	if checks = outside.Check(ctx); failed(checks) {
		return skip("Vault does not serve", "clock", checkLogin, everythingElse)
	}
	checks = append(checks, rotator.CheckClock(ctx, rotator.SystemClock{}, outside))
	if d.fleet.cfg.Vault.Auth.SecretIDWrapped {
		return skip("a login would use up the wrapped secret-id, which works once and is the daemon's", checkLogin, everythingElse)
	}
	client, login := vault.CheckLogin(ctx, cfg, d.fleet.login)
	checks = append(checks, login)
	if client == nil {
		return skip("the login failed", everythingElse)
	}
	defer func() { _ = client.Close() }() // its token expires anyway
	found := client.Examine(ctx, d.policyCommand())
	if found.Keys != nil {
		defer found.Keys.Wipe()
	}
	checks = append(checks, found.Checks...)
	if !found.Readable {
		return skip("they cannot be listed", checkRecords)
	}
	listed, wellFormed := d.records(ctx, client, found.Keys, result)
	return append(checks, listed), []rotator.Check{wellFormed}
}

func failed(checks []rotator.Check) bool {
	return slices.ContainsFunc(checks, func(c rotator.Check) bool { return c.State == rotator.CheckFailed })
}

// records examines every record without opening it, see [rotator.Sweep.Examine].
func (d *doctor) records(ctx context.Context, client *vault.Client, keys *crypto.Keyring, result *diagnosis) (listed, wellFormed rotator.Check) {
	servers, err := d.fleet.servers()
	if err != nil {
		both := rotator.Skipped("the Mailu servers of the configuration cannot be used", checkRecords, checkWellFormed)
		return both[0], both[1]
	}
	defer servers.Close()
	found, err := d.fleet.sweepOn(client, servers).Examine(ctx, keys)
	if err != nil {
		v := d.fleet.cfg.Vault
		return rotator.Broken(checkRecords, err.Error(), fmt.Sprintf("vault kv list -mount=%s %s", v.Mount, v.Prefix)),
			rotator.Skipped("the records cannot be read", checkWellFormed)[0]
	}
	result.records = &found
	for _, flaw := range found.Flaws {
		result.fixes = append(result.fixes, d.fixFlaw(flaw))
	}
	wellFormed = rotator.Passed(checkWellFormed, fmt.Sprintf("%d of %d", found.WellFormed, found.Tenants))
	switch {
	case found.Serious() > 0:
		wellFormed.State = rotator.CheckFailed
	case len(found.Flaws) > 0:
		wellFormed.State = rotator.CheckWarned
	}
	return rotator.Passed(checkRecords, tenants(found.Tenants)), wellFormed
}

// mailu checks the servers whose token could be read.
func (d *doctor) mailu(ctx context.Context) []rotator.Check {
	servers, err := d.fleet.servers()
	if err != nil {
		return []rotator.Check{rotator.Broken(checkServers, err.Error(), "fix "+d.path)}
	}
	defer servers.Close()
	var usable []rotator.Origin
	for _, s := range d.fleet.cfg.Mailu.Servers {
		if servers.broken[s.Origin] == nil {
			usable = append(usable, s.Origin)
		}
	}
	asked := servers.Check(ctx, usable)
	checks := make([]rotator.Check, 0, len(d.fleet.cfg.Mailu.Servers))
	for _, s := range d.fleet.cfg.Mailu.Servers {
		if err := servers.broken[s.Origin]; err != nil {
			checks = append(checks, rotator.Broken(string(s.Origin), err.Error(), fixFile(err)))
			continue
		}
		checks, asked = append(checks, fixToken(s, asked[0])), asked[1:]
	}
	return checks
}
