package readers

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// state is one of a record, or what happens to it while a reader logs in.
type state struct {
	happen func(a *tenant)
	want   string // the beginning of what the reader says
	logins []bool // which the mail server accepted; replies of the test's own are left out
}

const refusal = "535 5.7.8 Authentication credentials invalid"

func states() map[string]state {
	rotate := func(a *tenant) {
		a.prepare(second)
		a.push(second)
		a.commit()
	}
	return map[string]state{
		"at rest":       {func(*tenant) {}, "current", []bool{true}},
		"before a push": {func(a *tenant) { a.prepare(second) }, "current", []bool{true}},
		"after a push": {func(a *tenant) {
			a.prepare(second)
			a.push(second)
		}, "pending", []bool{false, true}},
		"after a commit": {rotate, "current", []bool{true}},
		"pushed between reading and login": {func(a *tenant) {
			a.prepare(second)
			a.beforeNext(func() string { a.push(second); return "" })
		}, "pending", []bool{false, true}},
		"prepared and pushed in between": {func(a *tenant) {
			a.beforeNext(func() string { a.prepare(second); a.push(second); return "" })
		}, "pending", []bool{false, false, true}},
		"rotated in between": {func(a *tenant) {
			a.beforeNext(func() string { rotate(a); return "" })
		}, "current", []bool{false, true}},
		"repaired in between, by the same password": {repair, "current", []bool{false, true}},
		"being added": {func(a *tenant) {
			a.prepare(second)
			a.push(second)
			a.remove("password", "last_rotated", "key_version")
		}, "pending", []bool{true}},
		"without a key version":     {func(a *tenant) { a.remove("key_version") }, "current", []bool{true}},
		"with fields that are null": {func(a *tenant) { a.set("pending", nil); a.set("key_version", nil) }, "current", []bool{true}},
		"never rotated, so its date is null": {func(a *tenant) {
			a.set("password", a.sealAt("", first)["password"])
			a.set("last_rotated", nil)
		}, "current", []bool{true}},
		"a date that is not its own":    {func(a *tenant) { a.set("last_rotated", "2026-01-02T03:04:05Z") }, "failed: ", nil},
		"a master key that is gone":     {func(a *tenant) { a.set("key_version", 99) }, "failed: ", nil},
		"a password that is not sealed": {func(a *tenant) { a.set("password", first) }, "failed: ", nil},
	}
}

// repair is that of a password which Mailu lost: Vault's is pushed again as it is sealed.
func repair(a *tenant) {
	a.push("unknown to Vault")
	a.beforeNext(func() string {
		a.set("pending", map[string]any{"password": a.fields["password"], "last_rotated": a.fields["last_rotated"], "key_version": a.fields["key_version"]})
		a.beforeNext(func() string {
			a.beforeNext(func() string {
				a.push(first)
				a.commit()
				return refusal
			})
			return refusal
		})
		return ""
	})
}

func TestReadersInEveryState(t *testing.T) {
	t.Parallel()
	s := newStage(t, theKit, 0)
	credentials := s.readerRole(t, "reader", "1h")
	for name, state := range states() {
		for language := range s.readers {
			t.Run(language+"/"+name, func(t *testing.T) {
				t.Parallel()
				a := s.add(t)
				state.happen(a)
				r := s.start(t, language, s.environment(credentials)...)

				r.expect(a.id, state.want)

				a.expectLogins(state.logins...)
			})
		}
	}
}

// A reader gives up in time, and has offered each password once: Mailu counts refusals.
func TestARefusalForGoodIsBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t, theKit, 0)
	credentials := s.readerRole(t, "reader", "1h")
	for language := range s.readers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			a := s.add(t)
			a.push("unknown to Vault")
			r := s.start(t, language, s.environment(credentials)...)

			took := r.expect(a.id, "failed: refused for 10")

			if took < bound-time.Second || took > 3*bound { // a busy machine takes longer over the last try
				t.Errorf("given up after %s, want %s", took, bound)
			}
			a.expectLogins(false)
		})
	}
}

// A limit of logins says nothing about the password: it is reported at once.
func TestALimitOfLoginsIsNoRefusal(t *testing.T) {
	t.Parallel()
	forEach(t, "1h", func(t *testing.T, r *reader, a *tenant) {
		a.prepare(second)
		a.beforeNext(func() string { return "451 4.3.2 Temporary authentication failure (rate-limit)" })

		answer, _, err := r.ask(a.id)

		must(t, err)
		if !strings.HasPrefix(answer, "failed: ") || !strings.Contains(answer, "451") {
			t.Errorf("the reader says %q", answer)
		}
		a.expectLogins()
	})
}

func TestWhatWasAcceptedIsOfferedFirst(t *testing.T) {
	t.Parallel()
	forEach(t, "1h", func(_ *testing.T, r *reader, a *tenant) {
		a.prepare(second)
		a.push(second)

		r.expect(a.id, "pending")
		r.expect(a.id, "pending")
		a.commit()
		r.expect(a.id, "current")

		a.expectLogins(false, true, true, true)
	})
}

func TestANewMasterKeyIsFetched(t *testing.T) {
	t.Parallel()
	forEach(t, "1h", func(t *testing.T, r *reader, a *tenant) {
		r.expect(a.id, "current")
		must(t, a.vault.RotateKey(t.Context()))
		a.prepare(second)
		a.push(second)
		a.commit()
		a.remove("key_version")

		r.expect(a.id, "current")
	})
}

func TestReadersLeaveNoFile(t *testing.T) {
	t.Parallel()
	forEach(t, "1h", func(_ *testing.T, r *reader, a *tenant) {
		r.expect(a.id, "current")

		r.end()
	})
}

func TestAnExpiredTokenIsReplaced(t *testing.T) {
	t.Parallel()
	forEach(t, "1s", func(_ *testing.T, r *reader, a *tenant) {
		r.expect(a.id, "current")
		time.Sleep(3 * time.Second)

		r.expect(a.id, "current")
	})
}

func TestOneTenantsTroubleIsNotTheNexts(t *testing.T) {
	t.Parallel()
	forEach(t, "1h", func(_ *testing.T, r *reader, a *tenant) {
		r.expect("no tenant's id", "failed: ")
		r.expect(nobody, "failed: ")
		r.expect(a.id, "current")

		a.expectLogins(true)
	})
}

func TestNothingIsSentToAnUntrustedServer(t *testing.T) {
	t.Parallel()
	s := newStage(t, theKit, 0)
	credentials := s.readerRole(t, "reader", "1h")
	for language := range s.readers {
		for name, trusted := range map[string]string{"neither": "/dev/null", "vault alone": s.vault.CACert} {
			t.Run(language+"/"+name, func(t *testing.T) {
				t.Parallel()
				a := s.add(t)
				r := s.start(t, language, append(s.environment(credentials), "SSL_CERT_FILE="+trusted, "NODE_EXTRA_CA_CERTS="+trusted)...)

				r.expect(a.id, "failed: ")

				a.expectLogins()
			})
		}
	}
}

// The shell's openssl would show its keys to every user of the host.
func TestTheShellReaderAsksWhoElseIsThere(t *testing.T) {
	t.Parallel()
	mounts, err := os.ReadFile("/proc/mounts")
	must(t, err)
	hidden := regexp.MustCompile(`(?m)^proc /proc .*hidepid=(2|invisible)`).Match(mounts)

	cmd := exec.CommandContext(t.Context(), theKit.readers["shell"][0], theKit.readers["shell"][1:]...)
	output, err := cmd.CombinedOutput()

	if refused := err != nil && strings.Contains(string(output), "hidepid=2"); refused == hidden {
		t.Errorf("/proc hides the processes of others: %t; the reader: %v, %s", hidden, err, output)
	}
}

// forEach runs a test for each language, with a tenant at rest of its own, and a reader
// whose tokens live so long.
func forEach(t *testing.T, ttl string, test func(t *testing.T, r *reader, a *tenant)) {
	t.Helper()
	s := newStage(t, theKit, 0)
	credentials := s.readerRole(t, "reader", ttl)
	for language := range s.readers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			test(t, s.start(t, language, s.environment(credentials)...), s.add(t))
		})
	}
}
