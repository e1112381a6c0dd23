package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/vault"
)

// doctorPatience is how long one call waits for a Vault that does not answer: an
// operator who runs the doctor wants to know that soon. Only the records of a large fleet
// take longer, see whileServing.
const doctorPatience = 5 * time.Second

func newDoctorCommand(path *string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything that a run needs, and show how to fix it",
		Long: `Check everything that a run needs, before the first run and after a problem: the
configuration and its files; Vault, the login and its permissions, the master key;
each Mailu server, with one request; with cluster.engine nats, NATS and the workers;
every tenant's record, age and last outcome, which the daemon knows. Each failed
check is followed by the command that fixes it. Nothing is changed.

A wrong API token is sent once and counts at Mailu, where five block this
network for an hour: fix it before the next try.

Exit status: 0 no errors, perhaps warnings; 2 errors with tenants or Mailu
servers; 1 a run could not take place; 130 interrupted.`,
		Example: `  mailu-rotator doctor
  mailu-rotator doctor --output json | jq -r '.checks[] | select(.state == "failed") | .fix'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd, *path, output)
		},
	}
	registerOutput(cmd, &output)
	return cmd
}

func runDoctor(cmd *cobra.Command, path, output string) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &doctor{path: path, stderr: cmd.ErrOrStderr(), service: findService, patience: doctorPatience}
	report := d.examine(ctx)
	if ctx.Err() != nil {
		return &statusError{code: exitInterrupted}
	}
	if err := printDoctorReport(cmd.OutOrStdout(), report, output); err != nil {
		return err
	}
	if report.Status != exitDone {
		return &statusError{code: report.Status}
	}
	return nil
}

// doctorReport is the document of doctor --output json, see docs/report.md. Its times are in UTC.
type doctorReport struct {
	Started  time.Time                  `json:"started"`
	Finished time.Time                  `json:"finished"`
	Config   string                     `json:"config"`
	Status   int                        `json:"status"`
	Summary  map[rotator.CheckState]int `json:"summary"`
	Checks   []checkJSON                `json:"checks"`
	Records  *sweep.Examination         `json:"records,omitempty"` // nil if they could not be read
}

// checkJSON is a check of one part of the installation.
type checkJSON struct {
	Section string `json:"section"`
	rotator.Check
}

const (
	sectionConfig  = "Configuration"
	sectionVault   = "Vault"
	sectionCluster = "Cluster"
)

// add appends the checks of a section. Without the configuration, Vault or the cluster no
// run can start; without the others some tenants fail.
func (r *doctorReport) add(section string, checks ...rotator.Check) {
	for _, c := range checks {
		r.Checks = append(r.Checks, checkJSON{section, c})
		r.Summary[c.State]++
		switch {
		case c.State != rotator.CheckFailed || r.Status == exitCannotRun:
		case section == sectionConfig || section == sectionVault || section == sectionCluster:
			r.Status = exitCannotRun
		default:
			r.Status = exitFailures
		}
	}
}

// doctor checks an installation, from what everything depends on to the single record.
// It skips checks whose requirements failed.
type doctor struct {
	path     string
	stderr   io.Writer
	service  func() (config.Account, bool)
	patience time.Duration
	app      *app
	cluster  *cluster.Inspection // nil without a cluster, or if it could not be looked at
}

const (
	checkConfig     = "configuration"
	checkFiles      = "files"
	checkLogin      = "login"
	checkRecords    = "records"
	checkWellFormed = "well-formed"
	everythingElse  = "everything else"
)

// examine runs all checks until ctx ends, and those of the servers concurrently.
func (d *doctor) examine(ctx context.Context) *doctorReport {
	r := &doctorReport{Started: time.Now().UTC(), Config: d.path, Summary: map[rotator.CheckState]int{}}
	r.add(sectionConfig, d.configuration()...)
	if d.app == nil {
		r.add("Vault, Mailu, tenants", rotator.Skipped("the configuration is not in order", everythingElse)...)
	} else {
		asked := make(chan []rotator.Check, 1)
		go func() { asked <- d.mailu(ctx) }()
		inCluster := d.inCluster(ctx)
		inVault, records := d.vault(ctx, r)
		r.add(sectionVault, inVault...)
		r.add("Mailu", <-asked...)
		r.add(sectionCluster, inCluster...)
		r.add("Workers", d.workers(r.Records)...)
		r.add("Tenants", records...)
	}
	for i, c := range r.Checks {
		r.Checks[i].Fix = d.fixCredential(c.Fix)
	}
	r.Finished = time.Now().UTC()
	return r
}

// configuration also wires the app, if there is enough to do so. An unreadable secret
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
	for _, err := range cfg.CheckFiles() {
		checks = append(checks, rotator.Broken(checkFiles, err.Error(), fixFile(err)))
	}
	hooks := cfg.CheckHooks()
	if account, found := d.service(); found {
		unread, unrunnable := cfg.CheckAccess(d.path, getenv, account)
		for _, err := range unread {
			checks = append(checks, rotator.Broken(checkFiles, err.Error(), fixFile(err)))
		}
		hooks = append(hooks, unrunnable...)
	}
	for _, err := range hooks {
		checks = append(checks, rotator.Warned(checkFiles, err.Error(), fixFile(err)))
	}
	if len(checks) == 1 {
		checks = append(checks, rotator.Passed(checkFiles, "all there, and only for whom they are meant"))
	}
	if d.app, err = newApp(cfg, d.stderr, nil); err != nil {
		checks = append(checks, rotator.Broken(checkConfig, err.Error(), "fix "+d.path))
	}
	return checks
}

func fixFile(err error) string {
	if known, ok := errors.AsType[*config.FileError](err); ok {
		return known.Fix
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(err, fs.ErrNotExist) {
		return "install -m 600 /dev/stdin " + file.Path
	}
	return "put into the file what its key names, and nothing else"
}

// vault stops at the first failed check on which all later ones depend. The records
// have their own section: a run can work without some of them.
func (d *doctor) vault(ctx context.Context, report *doctorReport) (checks, records []rotator.Check) {
	skip := func(because string, rest ...string) ([]rotator.Check, []rotator.Check) {
		return append(checks, rotator.Skipped(because, rest...)...), rotator.Skipped(because, checkWellFormed)
	}
	cfg := d.app.vaultConfig()
	cfg.Patience, cfg.OnWait = d.patience, nil
	health, err := vault.NewHealthClient(cfg, d.app.login)
	if err != nil {
		checks = []rotator.Check{rotator.Broken(checkLogin, err.Error(), "fix the files that the login needs")}
		return skip("there is no way to Vault", everythingElse)
	}
	defer health.Close()
	checks, nodes := health.Check(ctx)
	silent := slices.ContainsFunc(checks, func(c rotator.Check) bool { return c.State == rotator.CheckFailed })
	checks = append(checks, nodes...) // a run does without one of them
	if silent {
		return skip("Vault does not serve", "clock", checkLogin, everythingElse)
	}
	checks = append(checks, rotator.CheckClock(ctx, rotator.SystemClock{}, health))
	if d.app.cfg.Vault.Auth.SecretIDWrapped {
		return skip("a login would use up the wrapped secret-id, which works once and is the daemon's", checkLogin, everythingElse)
	}
	client, login := vault.CheckLogin(ctx, cfg, d.app.login)
	checks = append(checks, login)
	if client == nil {
		if unread := d.app.cfg.CheckLoginFiles(); len(unread) > 0 {
			checks[len(checks)-1].Fix = fixFile(unread[0]) // a new secret would not help
		}
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
	serving, end := whileServing(ctx, health, d.patience)
	defer end()
	listed, fleet := d.records(serving, client.WithPatience(rotator.StoreDeadline), found.Keys, report)
	return append(checks, listed), fleet
}

// whileServing returns a context for calls that may take as long as in a run. It ends,
// with the reason as its cause, once Vault's health, asked for at this interval, shows
// that Vault serves no more: those calls would wait for it for minutes.
func whileServing(parent context.Context, health *vault.HealthClient, interval time.Duration) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(parent)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for (rotator.SystemClock{}).Sleep(ctx, interval) == nil {
			checks, _ := health.Check(ctx)
			for _, check := range checks {
				if check.State == rotator.CheckFailed {
					cancel(fmt.Errorf("vault serves no more: %s", check.Found))
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-watched }
}

// records examines every record without opening it, see [sweep.Sweep.Examine], and the
// fleet that they are.
func (d *doctor) records(ctx context.Context, client *vault.Client, keys *crypto.Keyring, report *doctorReport) (listed rotator.Check, fleet []rotator.Check) {
	servers, err := d.app.servers()
	if err != nil {
		both := rotator.Skipped("the Mailu servers of the configuration cannot be used", checkRecords, checkWellFormed)
		return both[0], both[1:]
	}
	defer servers.Close()
	s := d.app.sweepOn(client, servers)
	if d.cluster != nil {
		s.Engine = lookedAt{found: d.cluster}
	}
	found, err := s.Examine(ctx, keys)
	v := d.app.cfg.Vault
	if errors.Is(err, rotator.ErrNoTenants) { // which no sweep accepts, but a new installation has
		report.Records = &sweep.Examination{Issues: []rotator.Issue{}}
		listed = rotator.Passed(checkRecords, tenants(0)+": "+nothingYet(v)+"; add the first, with VAULT_TOKEN set")
		listed.Fix = addFirst(d.path, d.app.cfg)
		return listed, []rotator.Check{rotator.Passed(checkWellFormed, "0 of 0")}
	}
	if err != nil {
		err = cmp.Or(context.Cause(ctx), err)
		return rotator.Broken(checkRecords, err.Error(), fmt.Sprintf("vault kv list -mount=%s %s", v.Mount, v.Prefix)),
			rotator.Skipped("the records cannot be read", checkWellFormed)
	}
	found.Issues = append([]rotator.Issue{}, found.Issues...) // [] in JSON, not null
	for i, issue := range found.Issues {
		found.Issues[i].Serious, found.Issues[i].Fix = issue.Kind.Serious(), d.fixFlaw(issue)
	}
	report.Records = &found
	wellFormed := rotator.Passed(checkWellFormed, fmt.Sprintf("%d of %d", found.WellFormed, found.Tenants))
	switch {
	case found.Serious() > 0:
		wellFormed.State = rotator.CheckFailed
	case len(found.Issues) > 0:
		wellFormed.State = rotator.CheckWarned
	}
	fleet = append([]rotator.Check{wellFormed}, d.fleet(ctx, &found)...)
	return rotator.Passed(checkRecords, tenants(found.Tenants)), fleet
}

func (d *doctor) mailu(ctx context.Context) []rotator.Check {
	servers, err := d.app.servers()
	if err != nil {
		return []rotator.Check{rotator.Broken("servers", err.Error(), "fix "+d.path)}
	}
	defer servers.Close()
	listed := d.app.cfg.Mailu.Servers
	checks := make([]rotator.Check, len(listed))
	for i, asked := range servers.Check(ctx, d.app.origins()) {
		checks[i] = fixToken(listed[i], asked)
	}
	return append(checks, servers.CheckMail(ctx, d.app.origins())...)
}
