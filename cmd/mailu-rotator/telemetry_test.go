package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault"
)

const metricsDoc = "../../docs/metrics.md"

// anyPort lets daemons of many tests listen at the same time; the log has the address.
const anyPort = "listen.address=127.0.0.1:0"

// address returns where the daemon last reported to listen.
func (p *program) address(t *testing.T, times int) string {
	t.Helper()
	p.mustLog(t, "listening", times)
	all := regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`).FindAllStringSubmatch(p.stderr.String(), -1)
	return all[len(all)-1][1]
}

// fetch queries a daemon over HTTP and adds the answer to the log scan.
func (s *site) fetch(t *testing.T, address, path, token string) (status int, body string) {
	t.Helper()
	client := http.DefaultClient
	if socket := address; strings.HasPrefix(socket, "/") {
		client = &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		}}
		address = "localhost"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	must(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	s.ledger.record(t.Name()+" "+path, func() string { return string(text) })
	return resp.StatusCode, string(text)
}

// awaitSeries scrapes until the daemon shows all these lines.
func (s *site) awaitSeries(t *testing.T, address string, lines ...string) {
	t.Helper()
	await(t, strings.Join(lines, ", "), func() error {
		_, body := s.fetch(t, address, "/metrics", "")
		for _, line := range lines {
			if !strings.Contains(body, "\nmailu_rotator_"+line+"\n") {
				return fmt.Errorf("no %s among\n%s", line, ours(body))
			}
		}
		return nil
	})
}

func ours(exposition string) string {
	return strings.Join(regexp.MustCompile(`(?m)^mailu_rotator_.*$`).FindAllString(exposition, -1), "\n")
}

func TestMetricsOfARealDaemonTellWhatItDid(t *testing.T) {
	s := newTestSite(t)
	must(t, s.enableAppRole(t.Context(), s.name))
	s.mustSeed(t, "old", "age=400")
	s.mustSeed(t, "young", "age=1")
	s.mustSeed(t, "lost", "age=400", "webmail_url=https://not.listed.example")
	must(t, s.writeConfig(everySecond, verifyEverySecond, noJitter, anyPort, "listen.tenant_label=true", `server.login={"imap": "127.0.0.1:1"}`)) // where nothing listens
	origin := s.mailus[0].Origin()

	daemon := s.start(t)
	address := daemon.address(t, 1)

	s.awaitSeries(t, address,
		`tenants{state="ok"} 2`,
		`tenants{state="invalid"} 1`,
		`tenants{state="overdue"} 0`,
		`findings{state="unknown user"} 0`, // after a verification
		`rotations_total{origin="`+origin+`",outcome="rotated"} 1`,
		`rotations_total{origin="`+origin+`",outcome="refused"} 0`,
		`step_duration_seconds_count{step="push"} 1`,
		`step_duration_seconds_count{step="commit"} 1`,
		`mailu_request_duration_seconds_count{method="PATCH",origin="`+origin+`"} 1`,
		`mailu_request_errors_total{class="no_answer",origin="`+origin+`"} 0`,
		`vault_request_errors_total{class="denied",operation="read"} 0`,
		`breaker_state{origin="`+origin+`",state="closed"} 1`,
		`login_state{origin="`+origin+`",state="not possible"} 1`,
		`vault_token_expiry_timestamp_seconds{method="approle"} 0`, // between runs there is no token
		`oldest_pending_age_seconds 0`,
		`config_last_reload_successful 1`,
		`build_info{goversion="`+runtime.Version()+`",version="v1.2.3-test"} 1`,
	)
	for _, counted := range []string{
		`runs_total{result="failures",task="sweep"}`, // of the failed run
		`vault_request_duration_seconds_count{operation="login"}`,
		`vault_request_duration_seconds_count{operation="write"}`,
		`last_success_timestamp_seconds{task="sweep"}`,
		`next_run_timestamp_seconds{task="verification"}`,
	} {
		_, body := s.fetch(t, address, "/metrics", "")
		if !regexp.MustCompile(`(?m)^mailu_rotator_` + regexp.QuoteMeta(counted) + ` [1-9]`).MatchString(body) {
			t.Errorf("%s is not above 0 in\n%s", counted, ours(body))
		}
	}
	_, body := s.fetch(t, address, "/metrics", "")
	shown, documented := typesIn(body, `# TYPE (mailu_rotator_\w+) (\w+)`), typesIn(readDoc(t, metricsDoc), "\\| `(mailu_rotator_\\w+)` \\| (\\w+) \\|")
	maps.DeleteFunc(documented, func(name, _ string) bool { return strings.HasPrefix(name, "mailu_rotator_cluster_") }) // this daemon has none
	if !maps.Equal(shown, documented) {
		t.Errorf("%s has\n%v\nthe daemon shows\n%v", metricsDoc, documented, shown)
	}
	if status, _ := s.fetch(t, address, "/readyz", ""); status != http.StatusOK {
		t.Errorf("readyz: status %d", status)
	}
	daemon.stop(t)
}

// A host of one core: while that computes, nobody else would look at the network.
func TestAThreadIsSparedForTheNetwork(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig(never, noJitter, anyPort))

	daemon := s.startIn(t, []string{"GOMAXPROCS=1"})

	if _, body := s.fetch(t, daemon.address(t, 1), "/metrics", ""); !strings.Contains(body, "\ngo_sched_gomaxprocs_threads 2\n") {
		t.Errorf("not two threads: %s", regexp.MustCompile(`(?m)^go_sched.*$`).FindAllString(body, -1))
	}
	daemon.stop(t)
}

func TestTheSparedThreadIsNoCoreToComputeOn(t *testing.T) {
	former := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(former)
	for threads, want := range map[int]int{1: 1, 2: 1, 9: 8} {
		runtime.GOMAXPROCS(threads)

		if got := computingCores(); got != want {
			t.Errorf("%d threads: %d cores, want %d", threads, got, want)
		}
	}
}

// typesIn finds metrics with their types.
func typesIn(text, pattern string) map[string]string {
	types := map[string]string{}
	for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		types[found[1]] = found[2]
	}
	return types
}

func TestMetricsDocHasEveryOperation(t *testing.T) {
	page := readDoc(t, metricsDoc)

	for _, operation := range vault.Operations() {
		if !strings.Contains(page, "`"+operation+"`") {
			t.Errorf("%s does not have the operation %s", metricsDoc, operation)
		}
	}
}

func TestMetricsTellOfAServerThatRefusesItsToken(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	old.mailu.Inject(mailutest.Fault{Kind: mailutest.Status, Status: http.StatusForbidden})
	must(t, s.writeConfig(everySecond, noJitter, anyPort))
	origin := s.mailus[0].Origin()

	daemon := s.start(t)
	daemon.mustLog(t, "sweep finished", 1) // the sweep that only finishes
	address := daemon.address(t, 1)

	s.awaitSeries(t, address,
		`tenants{state="overdue"} 1`,
		`breaker_state{origin="`+origin+`",state="stopped"} 1`,
	)
	daemon.stop(t)
}

func TestProbesWhileVaultIsAway(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "young", "age=1")
	proxy := s.interpose(t)
	must(t, s.writeConfig(never, noJitter, anyPort))
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore})

	daemon := s.start(t)
	address := daemon.address(t, 1)
	daemon.mustLog(t, "waiting for vault", 2)

	if status, body := s.fetch(t, address, "/healthz", ""); status != http.StatusOK {
		t.Errorf("healthz without Vault: status %d, %s", status, body)
	}
	if status, body := s.fetch(t, address, "/readyz", ""); status != http.StatusServiceUnavailable || strings.Count(body, "\n") != 1 {
		t.Errorf("readyz without Vault: status %d, %q", status, body)
	}
	_, body := s.fetch(t, address, "/metrics", "")
	if !regexp.MustCompile(`vault_request_errors_total\{class="no_answer",operation="lookup"\} [1-9]`).MatchString(body) {
		t.Errorf("no failed lookup in\n%s", ours(body))
	}
	proxy.Clear()
	await(t, "readiness", func() error {
		if status, body := s.fetch(t, address, "/readyz", ""); status != http.StatusOK {
			return errors.New(body)
		}
		return nil
	})
	daemon.stop(t)
}

func TestReloadMovesTheListenerAndTellsOfARefusedConfiguration(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "young", "age=1")
	must(t, s.writeConfig(never, noJitter, anyPort))
	daemon := s.start(t)
	first := daemon.address(t, 1)

	must(t, os.WriteFile(s.configFile(), []byte("listen: {address: nowhere}"), 0o600))
	daemon.signal(t, syscall.SIGHUP)
	daemon.mustLog(t, "configuration refused, the old one stays", 1)
	s.awaitSeries(t, first, `config_last_reload_successful 0`)

	socket := t.TempDir() + "/http.sock"
	must(t, s.secretFile("listen.token", "token-of-the-listener"))
	must(t, s.writeConfig(never, noJitter, "listen.address=unix:"+socket, "listen.token_file=listen.token"))
	daemon.signal(t, syscall.SIGHUP)
	if second := daemon.address(t, 2); second != socket {
		t.Fatalf("listens on %s", second)
	}

	if status, _ := s.fetch(t, socket, "/metrics", ""); status != http.StatusUnauthorized {
		t.Errorf("without the token: status %d", status)
	}
	if status, body := s.fetch(t, socket, "/metrics", "token-of-the-listener"); status != http.StatusOK || !strings.Contains(body, "config_last_reload_successful 1") {
		t.Errorf("with it: status %d\n%s", status, ours(body))
	}
	if conn, err := net.Dial("tcp", first); err == nil {
		conn.Close()
		t.Error("the former port is still open")
	}
	daemon.stop(t)
}

func TestATakenPortCostsNoRotation(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	must(t, s.writeConfig(everySecond, noJitter, "listen.address="+taken.Addr().String()))

	daemon := s.start(t)
	await(t, "the rotation", func() error { return s.rotated(t.Context(), old) })
	daemon.mustLog(t, "not listening", 1)
	daemon.stop(t)
}

func TestTheDaemonRefusesToShowItselfWithoutAToken(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig("listen.address=0.0.0.0:0"))

	daemon := s.start(t)

	daemon.mustEnd(t, exitCannotRun)
	if !strings.Contains(daemon.stderr.String(), "set listen.token_file") {
		t.Errorf("printed %s", &daemon.stderr)
	}
}

// TestDaemonShowsItsFleetOnThePage: other tests check the page's content; this one
// checks that it shows the real fleet after a sweep.
func TestDaemonShowsItsFleetOnThePage(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	s.mustSeed(t, "young", "age=1")
	s.mustSeed(t, "gone", "age=400", "absent=user")
	must(t, s.writeConfig(everySecond, noJitter, anyPort))

	daemon := s.start(t)
	address := daemon.address(t, 1)
	await(t, "the rotation", func() error { return s.rotated(t.Context(), old) })

	for _, fact := range []string{old.user, old.mailu.Origin(), "3 tenants", "unknown to this server", "rotated"} {
		await(t, "the page to say "+fact, func() error {
			status, body := s.fetch(t, address, "/", "")
			if status != http.StatusOK || !strings.Contains(body, fact) {
				return errors.New("not yet:\n" + body)
			}
			return nil
		})
	}
	daemon.stop(t)
}

func TestPageKeepsItsOwnSecurityPolicy(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=1")
	must(t, s.writeConfig(never, noJitter, anyPort))
	daemon := s.start(t)

	resp, err := http.Get("http://" + daemon.address(t, 1) + "/")
	must(t, err)
	must(t, resp.Body.Close())
	daemon.stop(t)

	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", policy)
	}
}

func TestPageOfANewDaemonSaysHowToAddTheFirstTenant(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig(everySecond, noJitter, anyPort))

	daemon := s.start(t)
	daemon.mustLog(t, "sweep refused", 1)
	_, body := s.fetch(t, daemon.address(t, 1), "/", "")

	if want := "tenant add --first --vault-token-from-env --user ADDRESS --webmail-url " + s.mailus[0].Origin() + " -c " + s.configFile(); !strings.Contains(untagged(body), want) {
		t.Errorf("%s is not in\n%s", want, body)
	}
	if status, _ := s.fetch(t, daemon.address(t, 1), "/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("it is ready: status %d", status)
	}
}

func untagged(body string) string { return regexp.MustCompile("<[^>]*>").ReplaceAllString(body, "") }

func TestPageTellsTheDaemonsOwnTroubles(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=1")
	proxy := s.interpose(t)
	must(t, s.writeConfig(never, noJitter, anyPort))
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore})
	daemon := s.start(t)
	address := daemon.address(t, 1)
	mustShow := func(said, command string, want bool) {
		t.Helper()
		await(t, said, func() error {
			_, body := s.fetch(t, address, "/", "")
			shown := strings.Contains(body, said) && strings.Contains(untagged(body), "mailu-rotator "+command+" -c "+s.configFile())
			if shown != want {
				return errors.New("not yet:\n" + body)
			}
			return nil
		})
	}

	mustShow("Vault does not serve, and is waited for.", "doctor", true)
	proxy.Clear()
	mustShow("Vault does not serve, and is waited for.", "doctor", false)

	good := []byte(s.fileText(t, "config.yaml"))
	must(t, os.WriteFile(s.configFile(), []byte("rotation: {workers: none}"), 0o600))
	daemon.signal(t, syscall.SIGHUP)
	mustShow("The last reload was refused", "config check", true)
	must(t, os.WriteFile(s.configFile(), good, 0o600))
	daemon.signal(t, syscall.SIGHUP)
	mustShow("The last reload was refused", "config check", false)
	daemon.stop(t)
}
