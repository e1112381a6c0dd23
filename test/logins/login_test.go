package logins

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
	"mailu-rotator/test/authority"
	"mailu-rotator/test/child"
)

const (
	admin    = "admin@example.com"
	password = "the-password-of-this-test"
)

// client is the rotator's client for the world's Mailu, with these mail services.
func (w *world) client(t *testing.T, login mailu.Login) rotator.Server {
	t.Helper()
	return w.clientTrusting(t, login, w.CA.CertFile)
}

func (w *world) clientTrusting(t *testing.T, login mailu.Login, roots string) rotator.Server {
	t.Helper()
	servers, err := mailu.New([]mailu.ServerConfig{{
		Origin: rotator.Origin(w.Mailu.Origin()), Token: crypto.SecretFromString(w.Mailu.Token()), CAFile: roots,
		MaxConcurrent: 1, Timeout: 10 * time.Second, Login: login,
	}}, mailu.Options{})
	must(t, err)
	t.Cleanup(servers.Close)
	server, err := servers.Server(rotator.Origin(w.Mailu.Origin()))
	must(t, err)
	return server
}

func login(ctx context.Context, s rotator.Server) error {
	return s.Login(ctx, admin, crypto.SecretFromString(password))
}

func TestLogin(t *testing.T) {
	w := newWorld(t, mailutest.Config{})
	w.Mailu.AddUser(admin, password)
	for name, l := range map[string]mailu.Login{
		"SMTP with TLS":      {SMTP: w.SMTPS},
		"SMTP with STARTTLS": {SMTP: "starttls://" + w.SMTP},
		"IMAP with TLS":      {IMAP: w.IMAPS},
		"IMAP with STARTTLS": {IMAP: "starttls://" + w.IMAP},
		"both":               {SMTP: w.SMTPS, IMAP: w.IMAPS},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.Mailu.Logins(admin))
			must(t, login(t.Context(), w.client(t, l)))
			if got := w.Mailu.Logins(admin)[before:]; len(got) == 0 {
				t.Error("Mailu was asked about no login")
			}
		})
	}
	for name, l := range map[string]mailu.Login{"SMTP": {SMTP: w.SMTPS}, "IMAP": {IMAP: w.IMAPS}} {
		t.Run(name+" refuses another password", func(t *testing.T) {
			err := w.client(t, l).Login(t.Context(), admin, crypto.SecretFromString("another"))
			if !errors.Is(err, rotator.ErrLoginRefused) || !strings.Contains(err.Error(), "AUTH_REQUIRE_TOKENS") {
				t.Error(err)
			}
		})
	}
}

// known makes the client see what Mailu shows about the user, as every run does first.
func known(t *testing.T, s rotator.Server) rotator.Server {
	t.Helper()
	must(t, s.Knows(t.Context(), admin))
	return s
}

func TestLoginNotPossible(t *testing.T) {
	w := newWorld(t, mailutest.Config{})
	w.Mailu.AddUser(admin, password)
	foreign, err := authority.New(t.TempDir(), "another")
	must(t, err)
	nobody, err := child.FreePort()
	must(t, err)
	for name, c := range map[string]struct {
		login mailu.Login
		roots string
		says  string
	}{
		"expired certificate of IMAP": {mailu.Login{IMAP: w.IMAPExpired}, "", "certificate has expired"},
		"expired certificate of SMTP": {mailu.Login{SMTP: w.SMTPExpired}, "", "certificate has expired"},
		"unknown authority":           {mailu.Login{IMAP: w.IMAPS}, foreign.CertFile, "set ca_file"},
		"unknown authority, STARTTLS": {mailu.Login{SMTP: "starttls://" + w.SMTP}, foreign.CertFile, "set ca_file"},
		"STARTTLS is off":             {mailu.Login{SMTP: "starttls://" + w.SMTPPlain}, "", "no STARTTLS offered"},
		"TLS to a port with STARTTLS": {mailu.Login{SMTP: w.SMTP}, "", "write starttls:// before it"},
		"SMTP at the address of IMAP": {mailu.Login{SMTP: w.IMAPS}, "", "short response"},
		"IMAP at the address of SMTP": {mailu.Login{IMAP: w.SMTPS}, "", "greeted by 220"},
		"nothing listens":             {mailu.Login{IMAP: nobody}, "", "connection refused"},
		"neither of the two":          {mailu.Login{SMTP: w.SMTPExpired, IMAP: nobody}, "", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := login(t.Context(), w.clientTrusting(t, c.login, cmp.Or(c.roots, w.CA.CertFile)))
			if err == nil || errors.Is(err, rotator.ErrLoginRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want a login that was not possible: %s", err, c.says)
			}
		})
	}
	t.Cleanup(func() {
		if got := w.Mailu.Logins(admin); len(got) != 0 {
			t.Errorf("the password was sent: %v", got)
		}
	})
}

func TestOneBrokenServiceDoesNotHideTheOther(t *testing.T) {
	w := newWorld(t, mailutest.Config{})
	w.Mailu.AddUser(admin, password)

	err := login(t.Context(), w.client(t, mailu.Login{SMTP: w.SMTPExpired, IMAP: w.IMAPS}))

	if err == nil || errors.Is(err, rotator.ErrLoginRefused) || strings.Contains(err.Error(), "IMAP") {
		t.Errorf("%v, want only SMTP's", err)
	}
	if got := w.Mailu.Logins(admin); !slices.Equal(got, []bool{true}) {
		t.Errorf("logins %v, want that of IMAP", got)
	}
}

func TestLoginOfARestrictedUser(t *testing.T) {
	w := newWorld(t, mailutest.Config{})
	both := mailu.Login{SMTP: w.SMTPS, IMAP: w.IMAPS}
	add := func() { w.Mailu.AddUser(admin, password) }

	t.Run("a disabled one is not tried", func(t *testing.T) {
		add()
		w.Mailu.SetEnabled(admin, false)
		if known(t, w.client(t, both)).CanLogin(admin) {
			t.Error("CanLogin is true")
		}
	})
	t.Run("without IMAP only SMTP is tried", func(t *testing.T) {
		add()
		w.Mailu.SetFlag(admin, "enable_imap", false)
		before := len(w.Mailu.Logins(admin))
		must(t, login(t.Context(), known(t, w.client(t, both))))
		if got := w.Mailu.Logins(admin)[before:]; !slices.Equal(got, []bool{true}) {
			t.Errorf("logins %v, want one", got)
		}
	})
	t.Run("disabled since Mailu was asked", func(t *testing.T) {
		add()
		s := known(t, w.client(t, both))
		w.Mailu.SetEnabled(admin, false)
		before := len(w.Mailu.Logins(admin))
		if err := login(t.Context(), s); !errors.Is(err, rotator.ErrLoginRefused) {
			t.Error(err)
		}
		if got := w.Mailu.Logins(admin)[before:]; !slices.Equal(got, []bool{false}) {
			t.Errorf("logins %v, want one: what was refused is not sent to the next service", got)
		}
	})
	t.Run("IMAP switched off since then", func(t *testing.T) {
		add()
		s := known(t, w.client(t, both))
		w.Mailu.SetFlag(admin, "enable_imap", false)
		if err := login(t.Context(), s); !errors.Is(err, rotator.ErrLoginRefused) || !strings.Contains(err.Error(), "IMAP") {
			t.Error(err)
		}
	})
}

func TestLoginWhereTokensAreRequired(t *testing.T) {
	w := newWorld(t, mailutest.Config{RequireTokens: true})
	w.Mailu.AddUser(admin, password)
	for name, l := range map[string]mailu.Login{"SMTP": {SMTP: w.SMTPS}, "IMAP": {IMAP: w.IMAPS}} {
		t.Run(name, func(t *testing.T) {
			err := login(t.Context(), w.client(t, l))
			if !errors.Is(err, rotator.ErrLoginRefused) || !strings.Contains(err.Error(), "AUTH_REQUIRE_TOKENS") {
				t.Error(err)
			}
		})
	}
}

// Only IMAP: Postfix passes no temporary failure of Dovecot on. Mailu's front answers itself,
// see package mailu.
func TestLoginOverALimit(t *testing.T) {
	w := newWorld(t, mailutest.Config{UserRateLimit: 1})
	w.Mailu.AddUser(admin, password)
	stranger := w.client(t, mailu.Login{IMAP: w.IMAPS})
	if err := stranger.Login(t.Context(), admin, crypto.SecretFromString("guessed")); !errors.Is(err, rotator.ErrLoginRefused) {
		t.Fatal(err)
	}

	err := login(t.Context(), w.client(t, mailu.Login{IMAP: w.IMAPS}))

	if err == nil || errors.Is(err, rotator.ErrLoginRefused) || !strings.Contains(err.Error(), "AUTH_RATELIMIT_USER") {
		t.Error(err)
	}
}

func TestLoginAfterACrashOfDovecot(t *testing.T) {
	w := newWorld(t, mailutest.Config{})
	w.Mailu.AddUser(admin, password)
	client := w.client(t, mailu.Login{IMAP: w.IMAPS})

	w.dovecot.Kill()
	var err error
	for end := time.Now().Add(patience); ; { // its children end later than it
		if err = login(t.Context(), client); err != nil || time.Now().After(end) {
			break
		}
	}
	if err == nil || errors.Is(err, rotator.ErrLoginRefused) {
		t.Errorf("%v, want a login that was not possible", err)
	}
	w.startDovecot(t)

	must(t, login(t.Context(), client))
}
