package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

func (s *site) doctor(t *testing.T, status int) string {
	t.Helper()
	doctor := s.start(t, "doctor")
	doctor.mustEnd(t, status)
	return doctor.stdout.String()
}

func mustShow(t *testing.T, shown string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(shown, line+"\n") {
			t.Errorf("no line %q in\n%s", line, shown)
		}
	}
}

func TestDoctorListsWhoIsOverdue(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	odd := s.mustSeed(t, "odd", "age=3", "policy=soon")
	must(t, s.writeConfig())

	shown := s.doctor(t, exitFailures)

	mustShow(t, shown, "  ✗ well-formed  1 of 2", "  ✗ in time      1 overdue", "      → mailu-rotator --run-now --due-only -c "+s.configFile(),
		"    ✗ "+string(old.id)+" "+old.user+"  overdue: 400d old, its policy is 180_days; last outcome: rotated "+time.Now().UTC().AddDate(0, 0, -400).Format(time.DateOnly),
		"      → mailu-rotator --run-now --due-only --tenant "+string(old.id)+" -c "+s.configFile())
	if strings.Index(shown, "✗ "+string(odd.id)) > strings.Index(shown, "✗ "+string(old.id)) {
		t.Errorf("many that are overdue would hide what no run ends:\n%s", shown)
	}
	if strings.Contains(shown, checkLastRuns) {
		t.Errorf("no daemon is configured:\n%s", shown)
	}
}

func TestDoctorListsWhomTheDaemonLeftBehind(t *testing.T) {
	s := newTestSite(t)
	gone := s.mustSeed(t, "gone", "age=180", "absent=user")
	drifted := s.mustSeed(t, "drifted", "age=1")
	drifted.mailu.AddUser(drifted.user, byHand(drifted))
	s.mustSeed(t, "fine", "age=1")
	address := "unix:" + s.dir + "/http.sock"
	must(t, s.writeConfig(everySecond, noJitter, verifyEverySecond, "listen.address="+address))

	daemon := s.start(t)
	daemon.mustLog(t, "sweep finished", 1)
	daemon.mustLog(t, "verification finished", 1)
	shown := s.doctor(t, exitFailures)
	daemon.stop(t)

	mustShow(t, shown, "  ✓ well-formed  3 of 3", "  ✓ in time      0 overdue", "  ✗ last runs    1 failed, 2 unverified, says the daemon at "+address,
		"      → mailu-rotator --run-now --due-only -c "+s.configFile(),
		"      → mailu-rotator --run-now --due-only --tenant "+string(gone.id)+" -c "+s.configFile(),
		"      → mailu-rotator verify --tenant "+string(gone.id)+" -c "+s.configFile(),
		"      → mailu-rotator verify --repair --tenant "+string(drifted.id)+" -c "+s.configFile())
	for _, row := range []string{"    ✗ " + string(gone.id) + " " + gone.user + "  failed 20", "    ! " + string(drifted.id) + " " + drifted.user + "  drift, says the verification of 20"} {
		if !strings.Contains(shown, row) {
			t.Errorf("no row %q in\n%s", row, shown)
		}
	}
}

// A rotation by hand has ended what the daemon's verification found before it.
func TestDoctorForgetsADriftBeforeTheRotation(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=3")
	for age, want := range map[int]string{4: "  ✓ last runs    0 failed, 0 unverified", 2: "  ! last runs    0 failed, 1 unverified"} {
		since := time.Now().AddDate(0, 0, -age).Format(time.RFC3339)
		daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"tenants": [{"tenant": %q, "state": "drift", "since": %q}]}`, acme.id, since)
		}))
		t.Cleanup(daemon.Close)
		must(t, s.writeConfig("listen.address="+daemon.Listener.Addr().String()))

		if shown := s.doctor(t, exitDone); !strings.Contains(shown, want) {
			t.Errorf("rotated 3 days ago, verified %d days ago:\n%s", age, shown)
		}
	}
}

func TestDoctorWarnsWhereNoDaemonAnswers(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=3")
	must(t, s.writeConfig("listen.address=unix:"+s.dir+"/nobody.sock"))

	shown := s.doctor(t, exitDone)

	mustShow(t, shown, "      → systemctl enable --now mailu-rotator")
	if !strings.Contains(shown, "  ! last runs    no daemon answers at unix:") {
		t.Errorf("it shows\n%s", shown)
	}
}

// What another program that has the port needs is not a start of the daemon.
func TestDoctorStartsNoDaemonBesideAnotherProgram(t *testing.T) {
	for answer, want := range map[error]string{
		syscall.ECONNREFUSED: "systemctl enable --now mailu-rotator", fs.ErrNotExist: "systemctl enable --now mailu-rotator",
		errors.New("answers status 404"): "systemctl status mailu-rotator",
	} {
		if got := startDaemon(fmt.Errorf("no daemon: %w", answer)); got != want {
			t.Errorf("%v: the fix is %q", answer, got)
		}
	}
}

// Of the other failures the record itself tells.
func TestDoctorCountsOnlyFailuresWithoutATrace(t *testing.T) {
	for _, outcome := range rotator.Outcomes() {
		want := outcome == rotator.Failed || outcome == rotator.Refused || outcome == rotator.Blocked

		if got := (statusRow{Outcome: outcome}).leftBehind(); got != want {
			t.Errorf("%s: %v", outcome, got)
		}
	}
}

func TestDoctorRepairsOnlyWhatARepairMends(t *testing.T) {
	d := &doctor{path: defaultConfigPath}
	for _, state := range rotator.States() {
		want := "mailu-rotator verify --tenant x"
		if state == rotator.StateDrift || state == rotator.StateUnreadable {
			want = "mailu-rotator verify --repair --tenant x"
		}

		if got := d.unverified(statusRow{Tenant: "x"}, state, statusTime); got.Fix != want || got.Reason != string(state)+", says the verification of 2026-11-23T12:00:00Z" {
			t.Errorf("%s: %+v", state, got)
		}
	}
}

func TestFixWritesTheCredentialItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	source := filepath.Join(filepath.Dir(path), "credentials")
	const copies = "/run/credentials/mailu-rotator-command-1.service"
	const write, restart = "vault write -f role/secret-id >", " && systemctl try-restart mailu-rotator"
	for name, test := range map[string]struct {
		directory string
		onHost    bool
		fix, want string
	}{
		"as the service":       {copies, false, write + copies + "/secret-id", write + source + "/secret-id" + restart},
		"as root":              {"", true, write + source + "/secret-id", write + source + "/secret-id" + restart},
		"without the service":  {"", false, write + source + "/secret-id", write + source + "/secret-id"},
		"in a container":       {"/credentials", false, write + "/credentials/secret-id", write + "/credentials/secret-id"},
		"of another directory": {"", true, write + "/etc/vault/secret-id", write + "/etc/vault/secret-id"},
		"of a mode":            {"", true, "chmod 600 " + source + "/secret-id", "chmod 600 " + source + "/secret-id"},
		"of nothing":           {copies, true, "", ""},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", test.directory)
		d := &doctor{path: path, stderr: io.Discard, service: func() (config.Account, bool) { return config.Account{}, test.onHost }}

		if got := d.fixCredential(test.fix); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestCommandsOfTheServiceRunAsTheService(t *testing.T) {
	for directory, want := range map[string]string{
		"": "mailu-rotator status", "/credentials": "mailu-rotator status",
		"/run/credentials/mailu-rotator-command-1.service": "mailu-rotator-as-service status",
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", directory)

		if got := commandLine(defaultConfigPath, "status"); got != want {
			t.Errorf("with %q: %q, want %q", directory, got, want)
		}
	}
}
