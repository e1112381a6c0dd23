//go:build boot

package boottest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/mailu/mailutest"
)

// start starts the daemon with its credentials, and stops it at the end of the test.
func (f *fleet) start(t *testing.T) {
	t.Helper()
	dropIn(t, daemon, "credentials", loadCredentials)
	dropIn(t, "mailu-rotator-.service", "credentials", loadCredentials)
	t.Cleanup(func() {
		_, _ = try("systemctl", "stop", daemon)
		_, _ = try("systemctl", "reset-failed")
	})
	run(t, "systemctl", "start", daemon)
}

const loadCredentials = `[Service]
LoadCredential=vault-token:` + credentials + `/vault-token
LoadCredential=mailu.token:` + credentials + `/mailu.token
`

// The tests follow the life of an installation; each leaves the service stopped.

func TestInstallingStartsNothing(t *testing.T) {
	if got, _ := try("systemctl", "is-enabled", daemon); strings.TrimSpace(got) != "disabled" {
		t.Errorf("the daemon is %q", got)
	}
	for _, unit := range []string{daemon, emergency, sweep, worker, "mailu-rotator-sweep.timer"} {
		if got := property(t, unit, "ActiveState"); got != "inactive" {
			t.Errorf("%s is %s", unit, got)
		}
	}
	if got := run(t, "stat", "--format=%U:%G %a", credentials); got != "root:root 700" {
		t.Errorf("%s is %s", credentials, got)
	}
	run(t, "getent", "passwd", "mailu-rotator")
}

func TestStartIsOverOnceTheDaemonIsReady(t *testing.T) {
	f := openFleet(t)

	f.start(t)

	if got := property(t, daemon, "ActiveState"); got != "active" {
		t.Fatalf("the daemon is %s", got)
	}
	await(t, "what is next", func() error {
		if got := property(t, daemon, "StatusText"); !strings.HasPrefix(got, "next sweep at 20") {
			return fmt.Errorf("status %q", got)
		}
		return nil
	})
	pid := property(t, daemon, "MainPID")
	if got := run(t, "stat", "--format=%U", "/proc/"+pid+"/cgroup"); got != "root" {
		t.Errorf("/proc/%s is of %s: the process can be dumped", pid, got)
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	must(t, err)
	if uid := run(t, "id", "-u", "mailu-rotator"); !strings.Contains(string(status), "\nUid:\t"+uid+"\t"+uid+"\t") {
		t.Errorf("the daemon is not user %s:\n%s", uid, status)
	}
}

func TestStartFailsWhereTheConfigurationIsWrong(t *testing.T) {
	f := openFleet(t)
	must(t, os.WriteFile(configFile, []byte("rotation: {workrs: 2}"), 0o644))
	dropIn(t, daemon, "no-restart", "[Service]\nRestart=no\n")
	defer func() { must(t, os.Remove("/etc/systemd/system/mailu-rotator.service.d/no-restart.conf")) }()

	_, err := try("systemctl", "start", daemon)

	if err == nil {
		t.Error("started")
	}
	f.configure(t, never)
	run(t, "systemctl", "reset-failed")
}

func TestReloadTakesTheNewConfigurationAndRefusesABadOne(t *testing.T) {
	f := openFleet(t)
	f.start(t)
	pid := property(t, daemon, "MainPID")

	must(t, os.WriteFile(configFile, []byte("rotation: {workrs: 2}"), 0o644))
	run(t, "systemctl", "reload", daemon)
	awaitEntries(t, daemon, 1, "EVENT=configuration refused, the old one stays", "_PID="+pid)
	await(t, "the reason in the status", func() error {
		if got := property(t, daemon, "StatusText"); !strings.Contains(got, "; reload refused: ") || !strings.Contains(got, "workrs") {
			return fmt.Errorf("status %q", got)
		}
		return nil
	})
	f.configure(t, often)
	run(t, "systemctl", "reload", daemon)

	f.awaitRotation(t, 1)
	if got := property(t, daemon, "MainPID"); got != pid {
		t.Errorf("process %s became %s", pid, got)
	}
}

func TestJournalHasTheEventsWithTheirFields(t *testing.T) {
	f := openFleet(t)
	f.configure(t, often)
	f.start(t)
	f.awaitRotation(t, 1)
	pid := property(t, daemon, "MainPID")

	all := awaitEntries(t, daemon, 1, "EVENT=rotation committed", "TENANT="+f.tenants[1], "_PID="+pid)

	entry := all[0]
	message, _ := entry["MESSAGE"].(string)
	if entry["ORIGIN"] != f.mailu.Origin() || entry["PRIORITY"] != "6" || entry["SYSLOG_IDENTIFIER"] != "mailu-rotator" ||
		entry["ROTATION"] == nil || !strings.HasPrefix(message, "rotation committed") || !strings.Contains(message, f.tenants[1]) {
		t.Errorf("the journal has %v", entry)
	}
}

// The watchdog kills a process that hangs, such as a stopped one, and the next process
// finishes its work.
func TestHungDaemonIsReplaced(t *testing.T) {
	f := openFleet(t)
	dropIn(t, daemon, "watchdog", "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n")
	t.Cleanup(func() { must(t, os.RemoveAll("/etc/systemd/system/mailu-rotator.service.d/watchdog.conf")) })
	f.mailu.Inject(mailutest.Fault{Kind: mailutest.HangAfter, Method: "PATCH", Email: user(f.tenants[0]), Times: 1})
	f.configure(t, often)
	f.start(t)
	await(t, "a push in flight", func() error {
		if f.mailu.PasswordSets(user(f.tenants[0])) == 0 {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	pid, err := strconv.Atoi(property(t, daemon, "MainPID"))
	must(t, err)

	must(t, syscall.Kill(pid, syscall.SIGSTOP))

	awaitProperty(t, daemon, "NRestarts", "1")
	awaitEntries(t, "init.scope", 1, "UNIT="+daemon, "UNIT_RESULT=watchdog")
	awaitProperty(t, daemon, "ActiveState", "active")
	f.mailu.ClearFaults()
	f.awaitRotation(t, 1)
}

func TestStopInMidRotationFinishesIt(t *testing.T) {
	f := openFleet(t)
	f.startARotation(t)

	run(t, "systemctl", "stop", daemon)

	if got := property(t, daemon, "Result"); got != "success" {
		t.Errorf("the daemon ended with %s", got)
	}
	f.mustBeSettled(t)
}

func TestUpgradeInMidRotationFinishesItAndRunsTheNewProgram(t *testing.T) {
	f := openFleet(t)
	f.startARotation(t)
	pid := property(t, daemon, "MainPID")

	run(t, "dpkg", "--install", "/opt/boottest/mailu-rotator.deb")

	awaitEntries(t, daemon, 1, "EVENT=rotation committed", "_PID="+pid)
	f.awaitRotation(t, 1) // the new process rotates the rest
	for _, tenant := range f.tenants {
		if sets := f.mailu.PasswordSets(user(tenant)); sets != 1 {
			t.Errorf("%s: %d new passwords", tenant, sets)
		}
	}
	if got := property(t, daemon, "MainPID"); got == pid || got == "0" {
		t.Errorf("process %s became %s", pid, got)
	}
	if config, err := os.ReadFile(configFile); err != nil || !strings.Contains(string(config), f.vault.Addr) {
		t.Errorf("the configuration is now %q, %v", config, err)
	}
}

func TestEmergencyRunsBesideTheDaemon(t *testing.T) {
	f := openFleet(t)
	f.start(t)
	pid := property(t, daemon, "MainPID")

	run(t, "systemctl", "start", emergency)

	for _, tenant := range f.tenants {
		if sets := f.mailu.PasswordSets(user(tenant)); sets != 1 {
			t.Errorf("%s: %d new passwords", tenant, sets)
		}
	}
	f.mustBeSettled(t)
	if got := property(t, daemon, "MainPID"); got != pid {
		t.Errorf("the daemon is process %s and was %s", got, pid)
	}
	if _, err := os.Stat("/run/mailu-rotator/http.sock"); err != nil {
		t.Errorf("the daemon's listener: %v", err)
	}
	report := func(entry map[string]any) bool {
		message, _ := entry["MESSAGE"].(string)
		return strings.HasPrefix(message, "3 tenants: 3 rotated")
	}
	if !slices.ContainsFunc(entries(t, emergency), report) {
		t.Error("the journal has no report of the emergency run")
	}
}

// A run that reports on every tenant keeps every record, which the daemon does not.
func TestAnEmergencyMayTakeMoreMemoryThanTheDaemon(t *testing.T) {
	for unit, fits := range map[string]func(limit int) bool{
		daemon:    func(limit int) bool { return limit == 512<<20 },
		emergency: func(limit int) bool { return limit > 512<<20 },
	} {
		limit, err := strconv.Atoi(property(t, unit, "MemoryMax")) // an error if it is "infinity"
		if err != nil || !fits(limit) {
			t.Errorf("%s: MemoryMax is %d, %v", unit, limit, err)
		}
	}
}

// For hosts without the daemon.
func TestTimersSweepRotatesWhatIsDue(t *testing.T) {
	f := openFleet(t)
	dropIn(t, "mailu-rotator-.service", "credentials", loadCredentials)

	run(t, "systemctl", "start", "mailu-rotator-sweep.timer")
	t.Cleanup(func() { run(t, "systemctl", "stop", "mailu-rotator-sweep.timer") })
	run(t, "systemctl", "start", sweep)
	run(t, "systemctl", "start", sweep)

	f.awaitRotation(t, 1)
	if sets := f.mailu.PasswordSets(user(f.tenants[0])); sets != 1 {
		t.Errorf("%d new passwords after two sweeps", sets)
	}
	if next := property(t, "mailu-rotator-sweep.timer", "NextElapseUSecRealtime"); next == "" {
		t.Error("the timer has no next time")
	}
}

func TestWorkerDoesWhatAnEmergencyRunPlans(t *testing.T) {
	f := openFleet(t)
	f.nats = natstest.Run(t, natstest.Options{Binary: os.Getenv("MAILU_ROTATOR_NATS")})
	f.configure(t, never)
	dropIn(t, "mailu-rotator-.service", "credentials", loadCredentials)
	t.Cleanup(func() { run(t, "systemctl", "stop", worker) })

	run(t, "systemctl", "start", worker)
	await(t, "the worker", func() error {
		if got := property(t, worker, "StatusText"); got != "worker for 1 Mailu servers" {
			return fmt.Errorf("status %q", got)
		}
		return nil
	})
	run(t, "systemctl", "start", emergency)

	f.mustBeSettled(t)
	pid := property(t, worker, "MainPID")
	for _, tenant := range f.tenants {
		if sets := f.mailu.PasswordSets(user(tenant)); sets != 1 {
			t.Errorf("%s: %d new passwords", tenant, sets)
		}
		awaitEntries(t, worker, 1, "EVENT=rotation committed", "TENANT="+tenant, "_PID="+pid)
	}
}

// Secrets can be encrypted for the host; the program notices no difference.
func TestEncryptedCredentials(t *testing.T) {
	f := openFleet(t)
	f.configure(t, often)
	f.start(t)
	run(t, "systemctl", "stop", daemon)
	f.encryptCredentials(t)

	run(t, "systemctl", "start", daemon)

	f.awaitRotation(t, 1)
}

// encryptCredentials leaves only encrypted files, which only the daemon's unit names.
func (f *fleet) encryptCredentials(t *testing.T) {
	t.Helper()
	for _, name := range []string{"vault-token", "mailu.token"} {
		plain := filepath.Join(credentials, name)
		run(t, "systemd-creds", "encrypt", "--name="+name, plain, plain+".cred")
		must(t, os.Remove(plain))
	}
	must(t, os.RemoveAll("/etc/systemd/system/mailu-rotator-.service.d"))
	dropIn(t, daemon, "credentials", strings.ReplaceAll(strings.ReplaceAll(loadCredentials,
		"LoadCredential=", "LoadCredentialEncrypted="), "token\n", "token.cred\n"))
}

// Commands by hand run as the service does: with its user, its credentials, encrypted
// ones too, and a token of the shell that no other user of the host can read.
func TestCommandsRunAsTheService(t *testing.T) {
	f := openFleet(t)
	f.encryptCredentials(t)

	if report := run(t, asService, "doctor"); !strings.Contains(report, "well-formed  3 of 3") {
		t.Errorf("doctor says %s", report)
	}
	run(t, asService, "--run-now", "--tenant", f.tenants[0])
	if sets := f.mailu.PasswordSets(user(f.tenants[0])); sets != 1 {
		t.Errorf("%d new passwords", sets)
	}
	f.mustBeSettled(t)

	f.mailu.AddUser("admin@new.example", "set by hand")
	run(t, "env", "VAULT_TOKEN="+f.client.Token(), asService, "tenant", "add", "--vault-token-from-env",
		"--user", "admin@new.example", "--webmail-url", f.mailu.Origin()+"/webmail")
	if sets := f.mailu.PasswordSets("admin@new.example"); sets == 0 {
		t.Error("no tenant was added")
	}

	if _, err := try(asService, "show", "nobody"); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("an unknown tenant: %v", err)
	}
	if left, err := filepath.Glob("/run/mailu-rotator-environment.*"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// systemd-run says only that there is no such file.
func TestCommandsAsTheServiceSayThatTheyNeedABus(t *testing.T) {
	const bus = "/run/dbus/system_bus_socket"
	must(t, os.Rename(bus, bus+".away"))
	defer func() { must(t, os.Rename(bus+".away", bus)) }()

	_, err := try(asService, "status")

	if err == nil || !strings.Contains(err.Error(), "systemctl start dbus.socket") {
		t.Errorf("it says %v", err)
	}
}

func TestARunByHandIsInTheJournal(t *testing.T) {
	f := openFleet(t)

	run(t, "mailu-rotator", "--run-now", "--quiet", "--tenant", f.tenants[2])

	await(t, "the run in the journal", func() error {
		found, err := try("journalctl", "--no-pager", "-o", "cat", "-t", "mailu-rotator", "TENANT="+f.tenants[2], "EVENT=rotation committed")
		if err == nil && !strings.HasPrefix(found, "rotation committed") {
			err = fmt.Errorf("found %q", found)
		}
		return err
	})
}

// This test must be the last: it removes the service.
func TestRemovalStopsTheDaemonAndLeavesTheSecrets(t *testing.T) {
	f := openFleet(t)
	f.startARotation(t)

	run(t, "dpkg", "--remove", "mailu-rotator")

	f.mustBeSettled(t)
	if got := property(t, daemon, "ActiveState"); got != "inactive" {
		t.Errorf("the daemon is %s", got)
	}
	run(t, "dpkg", "--purge", "mailu-rotator")
	if _, err := os.Stat(filepath.Join(credentials, "vault-token")); err != nil {
		t.Errorf("the secrets: %v", err)
	}
	if _, err := os.Stat(configFile); !os.IsNotExist(err) {
		t.Errorf("the configuration: %v", err)
	}
}
