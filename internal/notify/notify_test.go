package notify

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
)

// noon is a clock that stands still.
type noon struct{}

func (noon) Now() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func (noon) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// listen opens systemd's end of the socket at the given address.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	end, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return end
}

func open(t *testing.T) *Socket {
	t.Helper()
	s, err := Open(noon{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// received returns everything that was sent. A marker is sent last, so the test needs
// no wait.
func received(t *testing.T, s *Socket, end *net.UnixConn) []string {
	t.Helper()
	if err := s.send("X_MARK=1"); err != nil {
		t.Fatal(err)
	}
	var messages []string
	for buffer := make([]byte, 4096); ; {
		n, err := end.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if string(buffer[:n]) == "X_MARK=1" {
			return messages
		}
		messages = append(messages, string(buffer[:n]))
	}
}

func TestSystemdIsToldHowTheServiceStands(t *testing.T) {
	for name, address := range map[string]string{
		"a file":             filepath.Join(t.TempDir(), "notify"),
		"an abstract socket": "@mailu-rotator-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			end := listen(t, address)
			s := open(t)

			err := errors.Join(s.Ready(), s.Reloading(), s.Stopping())

			got := received(t, s, end)
			if err != nil || len(got) != 3 || got[0] != "READY=1" || got[2] != "STOPPING=1" {
				t.Fatalf("told %q, %v", got, err)
			}
			since, isReload := strings.CutPrefix(got[1], "RELOADING=1\nMONOTONIC_USEC=")
			if at, err := strconv.ParseInt(since, 10, 64); !isReload || err != nil || at <= 0 {
				t.Errorf("told %q of a reload", got[1])
			}
		})
	}
}

func TestWatchdogIsFedOnlyWhileThereIsProgress(t *testing.T) {
	end := listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "120000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	answers := []bool{true, false, false, true, true, false}

	s.Guard(ctx, func() bool {
		answer := answers[0]
		if answers = answers[1:]; len(answers) == 0 {
			cancel()
		}
		return answer
	})

	if got, want := received(t, s, end), []string{"WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWatchdogPeriod(t *testing.T) {
	for name, c := range map[string]struct {
		microseconds, pid string
		want              time.Duration
	}{
		"half of what is allowed": {"120000000", strconv.Itoa(os.Getpid()), time.Minute},
		"for anybody":             {"120000000", "", time.Minute},
		"for another process":     {"120000000", "1", 0},
		"none":                    {"", "", 0},
		"malformed":               {"2min", "", 0},
		"negative":                {"-1", "", 0},
		"too long to be meant":    {"18446744073709551615", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := watchdogPeriod(c.microseconds, c.pid); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestStatusSaysWhatIsUnderWayAndWhatIsNext(t *testing.T) {
	end := listen(t, filepath.Join(t.TempDir(), "notify"))
	s := open(t)

	for _, e := range []rotator.Event{
		{Name: rotator.SweepStarted},
		{Name: rotator.SweepPlanned, Count: 7},
		{Name: rotator.PasswordPushed, Tenant: "a tenant", Origin: "https://mail.example.com"},
		{Name: rotator.SweepFinished, Count: 2},
		{Name: rotator.TickScheduled, Wait: time.Hour},
		{Name: rotator.VerificationScheduled, Wait: time.Minute},
		{Name: rotator.VerificationPlanned, Count: 9},
		{Name: rotator.VerificationFinished},
		{Name: rotator.SettingsReplaced},
		{Name: rotator.SweepRefused, Err: errors.New("clock\nSTOPPING=1")},
	} {
		s.Observe(e)
	}

	want := []string{
		"STATUS=sweep under way",
		"STATUS=sweep under way, 7 to rotate or finish",
		"STATUS=waiting; last sweep: 2 failed",
		"STATUS=next sweep at 2026-01-02T13:00:00Z; last sweep: 2 failed",
		"STATUS=verification under way, 9 to ask about",
		"STATUS=next sweep at 2026-01-02T13:00:00Z; last sweep: 2 failed",
		"STATUS=waiting; last sweep: 2 failed",
		"STATUS=waiting; last sweep could not take place, the log says why",
	}
	if got := received(t, s, end); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A daemon that is also a worker has a next sweep.
func TestStatusOfAWorkerSaysForHowManyServers(t *testing.T) {
	end := listen(t, filepath.Join(t.TempDir(), "notify"))
	s := open(t)

	s.Observe(rotator.Event{Name: rotator.WorkerReady, Count: 3})
	s.Observe(rotator.Event{Name: rotator.TickScheduled, Wait: time.Hour})

	want := []string{"STATUS=worker for 3 Mailu servers", "STATUS=next sweep at 2026-01-02T13:00:00Z"}
	if got := received(t, s, end); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStatusSaysWhyNothingGoesOn(t *testing.T) {
	end := listen(t, filepath.Join(t.TempDir(), "notify"))
	s := open(t)

	s.Observe(rotator.Event{Name: rotator.SweepStarted})
	s.Waiting(errors.New("sealed\nSTOPPING=1"))
	s.Waiting(&url.Error{Op: "Get", URL: "http://127.0.0.1/v1/vault/data/smtp/a-tenant/admin", Err: errors.New("connection refused")})
	s.Observe(rotator.Event{Name: rotator.SweepFinished})
	s.Reloaded(errors.New("config.yaml:\nline 2: unknown key " + strings.Repeat("x", 300)))
	s.Observe(rotator.Event{Name: rotator.SweepStarted})
	s.Observe(rotator.Event{Name: rotator.SweepFinished})
	s.Reloaded(nil)

	refused := "STATUS=waiting; last sweep: 0 failed; reload refused: config.yaml: line 2: unknown key " + strings.Repeat("x", 167)
	want := []string{
		"STATUS=sweep under way", "STATUS=waiting for Vault: sealed STOPPING=1", "STATUS=waiting for Vault: connection refused",
		"STATUS=waiting; last sweep: 0 failed",
		refused, "STATUS=sweep under way", refused, "STATUS=waiting; last sweep: 0 failed",
	}
	if got := received(t, s, end); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestChildrenAreNotToldOfTheSocket(t *testing.T) {
	listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", "1")

	open(t)

	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if value, found := os.LookupEnv(name); found {
			t.Errorf("%s is still %q", name, value)
		}
	}
}

func TestNothingHappensUnlessSystemdAsks(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "1000000")
	s := open(t)

	s.Observe(rotator.Event{Name: rotator.SweepStarted})
	s.Guard(t.Context(), func() bool { t.Error("asked for progress"); return true })

	if err := errors.Join(s.Ready(), s.Reloading(), s.Stopping()); err != nil {
		t.Error(err)
	}
}

func TestASocketThatIsNotThereIsAnError(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))

	if _, err := Open(noon{}); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("got %v", err)
	}
}
