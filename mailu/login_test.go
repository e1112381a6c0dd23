package mailu

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
	"mailu-rotator/test/authority"
)

// Package test/logins has the logins at a real Dovecot and Postfix.

// mailServer is a mail service that follows a script, for answers that real ones give
// seldom.
type mailServer struct {
	address string
	roots   string // file

	mu      sync.Mutex
	secrets []string // lines that were received over TLS, guarded by mu
	plain   []string // and without it
}

// serveScript serves connections. A script gets them with the connection, on which it may
// begin TLS.
func serveScript(t testing.TB, immediate bool, script func(c *scripted)) *mailServer {
	t.Helper()
	ca, err := authority.New(t.TempDir(), "mail")
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{address: listener.Addr().String(), roots: ca.CertFile}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				c := &scripted{conn: conn, server: s, config: &tls.Config{Certificates: []tls.Certificate{pair}}}
				if immediate {
					c.encrypt()
				} else {
					c.text = textproto.NewConn(conn)
				}
				script(c)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
	return s
}

// scripted is the server's side of a connection.
type scripted struct {
	conn      net.Conn
	text      *textproto.Conn
	server    *mailServer
	config    *tls.Config
	encrypted bool
}

func (c *scripted) encrypt() {
	c.conn = tls.Server(c.conn, c.config)
	c.text, c.encrypted = textproto.NewConn(c.conn), true
}

// say sends lines as they are.
func (c *scripted) say(lines ...string) {
	_, _ = c.conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\n"))
}

// hear returns the next line; "" if the client is gone.
func (c *scripted) hear() string {
	line, _ := c.text.ReadLine()
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.encrypted {
		c.server.secrets = append(c.server.secrets, line)
	} else {
		c.server.plain = append(c.server.plain, line)
	}
	return line
}

// imapAnswers is a script that answers AUTHENTICATE and what follows.
func imapAnswers(greeting, toCommand, toPassword string) func(*scripted) {
	return func(c *scripted) {
		c.say(greeting)
		c.hear()
		c.say(toCommand)
		c.hear()
		c.say(toPassword)
		c.hear() // the end
	}
}

func loginWith(t testing.TB, roots string, timeout time.Duration, l Login) error {
	t.Helper()
	c := entry("https://mail.example")
	c.CAFile, c.Timeout, c.Login = roots, timeout, l
	return open(t, c, quick()).Login(t.Context(), user, crypto.SecretFromString(oldPassword))
}

const ample = 30 * time.Second

func TestAnswersOfIMAP(t *testing.T) {
	t.Parallel()
	const ready = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready"
	for name, c := range map[string]struct {
		greeting, toCommand, toPassword string
		refused                         bool
		says                            string // empty: accepted
	}{
		"accepted":                    {ready, "+ ", "a2 OK [CAPABILITY IMAP4rev1] Logged in", false, ""},
		"accepted, in small letters":  {"* ok", "+", "a2 ok", false, ""},
		"other lines first":           {ready, "* CAPABILITY IMAP4rev1\r\n+ ", "* CAPABILITY IMAP4rev1\r\na2 OK", false, ""},
		"refused by Dovecot":          {ready, "+ ", "a2 NO [AUTHENTICATIONFAILED] Authentication failed.", true, "AUTHENTICATIONFAILED"},
		"refused by nginx":            {ready, "+ ", "a2 NO Authentication credentials invalid", true, "Authentication credentials invalid"},
		"not permitted":               {ready, "+ ", "a2 NO [AUTHORIZATIONFAILED] no mailbox", true, "no mailbox"},
		"expired":                     {ready, "+ ", "a2 NO [EXPIRED] too old", true, "too old"},
		"over a limit, by Dovecot":    {ready, "+ ", "a2 NO [UNAVAILABLE] Temporary authentication failure.", false, "AUTH_RATELIMIT_USER"},
		"over a limit, by nginx":      {ready, "+ ", "a2 NO Temporary authentication failure (rate-limit)", false, "AUTH_RATELIMIT_USER"},
		"over a limit, with its code": {ready, "+ ", "a2 NO [LIMIT] Temporary authentication failure (rate-limit)", false, "AUTH_RATELIMIT_USER"},
		"PLAIN is not offered":        {ready, "a2 NO Unsupported authentication mechanism", "", false, "AUTHENTICATE PLAIN answered by NO Unsupported"},
		"the command is unknown":      {ready, "a2 BAD Unknown command", "", false, "AUTHENTICATE PLAIN answered by BAD"},
		"no answer about a password":  {ready, "+ ", "a2 BAD Internal error", false, "answered BAD"},
		"goodbye as a greeting":       {"* BYE too many connections", "", "", false, "too many connections"},
		"goodbye as an answer":        {ready, "+ ", "* BYE overloaded", false, "overloaded"},
		"another protocol":            {"220 mail ESMTP", "", "", false, "greeted by 220"},
		"the end":                     {ready, "+ ", "", false, "EOF"},
		"the password comes back":     {ready, "+ ", "a2 NO no " + oldPassword, true, "no [redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveScript(t, true, func(conn *scripted) {
				if c.toPassword != "" {
					imapAnswers(c.greeting, c.toCommand, c.toPassword)(conn)
					return
				}
				conn.say(c.greeting)
				conn.hear()
				conn.say(c.toCommand)
				conn.hear()
			})
			err := loginWith(t, s.roots, ample, Login{IMAP: s.address})
			switch {
			case (err == nil) != (c.says == ""), errors.Is(err, rotator.ErrLoginRefused) != c.refused:
				t.Error(err)
			case err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), oldPassword)):
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestAnswersOfSMTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  string
		refused bool
		says    string
	}{
		"Mailu refuses":         {"535 5.7.8 Authentication credentials invalid", true, "AUTH_REQUIRE_TOKENS"},
		"disabled":              {"525 5.7.13 User account disabled", true, "disabled"},
		"over a limit of Mailu": {"451 4.3.2 Temporary authentication failure (rate-limit)", false, "AUTH_RATELIMIT_IP"},
		"temporarily":           {"454 4.7.0 Temporary authentication failure", false, "AUTH_RATELIMIT_IP"},
		"port 25 of Mailu":      {"502 5.5.1 AUTH not supported", false, "that service's log"},
		"too weak":              {"534 5.7.9 Authentication mechanism is too weak", false, "that service's log"},
		"the password is back":  {"535 5.7.8 not " + oldPassword, true, "not [redacted]"},
		"no answer at all":      {"nonsense", false, "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := mailutest.Run(t, mailutest.Config{TLS: true})
			address, err := fake.AddSubmission(func(string, string) string { return c.answer })
			if err != nil {
				t.Fatal(err)
			}
			err = loginWith(t, fake.CAFile(), ample, Login{SMTP: address})
			if err == nil || errors.Is(err, rotator.ErrLoginRefused) != c.refused || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), oldPassword) {
				t.Errorf("%v, want %q, refused: %v", err, c.says, c.refused)
			}
		})
	}
}

func TestAPlainPasswordIsNeverSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script func(*scripted)
		login  func(address string) Login
	}{
		"STARTTLS is refused by IMAP": {
			func(c *scripted) { c.say("* OK"); c.hear(); c.say("a1 NO not now"); c.hear() },
			func(address string) Login { return Login{IMAP: "starttls://" + address} },
		},
		"STARTTLS is not offered by SMTP": {
			func(c *scripted) { c.say("220 mail"); c.hear(); c.say("250-mail", "250 AUTH PLAIN"); c.hear() },
			func(address string) Login { return Login{SMTP: "starttls://" + address} },
		},
		"the answers to all commands come before TLS": {
			func(c *scripted) { c.say("* OK"); c.hear(); c.say("a1 OK", "+ ", "a2 OK"); c.hear() },
			func(address string) Login { return Login{IMAP: "starttls://" + address} },
		},
		"TLS is not there": {
			func(c *scripted) { c.say("* OK"); c.hear() },
			func(address string) Login { return Login{IMAP: address} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveScript(t, false, c.script)
			err := loginWith(t, s.roots, ample, c.login(s.address))
			if err == nil || errors.Is(err, rotator.ErrLoginRefused) {
				t.Error(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, line := range s.plain {
				if strings.Contains(line, "PLAIN") || len(line) > 100 && !strings.HasPrefix(line, "\x16\x03") {
					t.Errorf("sent in plain text: %q", line)
				}
			}
		})
	}
}

func TestSTARTTLSOfIMAP(t *testing.T) {
	t.Parallel()
	s := serveScript(t, false, func(c *scripted) {
		c.say("* OK")
		c.hear()
		c.say("* OK soon", "a1 OK begin")
		c.encrypt()
		c.hear()
		c.say("+ ")
		c.hear()
		c.say("a2 OK")
	})

	err := loginWith(t, s.roots, ample, Login{IMAP: "starttls://" + s.address})

	s.mu.Lock()
	defer s.mu.Unlock()
	want := []string{"a2 AUTHENTICATE PLAIN", "AGFkbWluQGV4YW1wbGUuY29tAHRoZS1mb3JtZXItcGFzc3dvcmQ="}
	if err != nil || !slices.Equal(s.secrets, want) || !slices.Equal(s.plain, []string{"a1 STARTTLS"}) {
		t.Errorf("%v; over TLS %q, before %q", err, s.secrets, s.plain)
	}
}

func TestASilentMailServiceIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	silent := serveScript(t, true, func(c *scripted) { c.hear() })
	for name, l := range map[string]Login{"SMTP": {SMTP: silent.address}, "IMAP": {IMAP: silent.address}} {
		t.Run(name, func(t *testing.T) {
			err := loginWith(t, silent.roots, 100*time.Millisecond, l)
			if err == nil || !strings.Contains(err.Error(), "no answer in time") {
				t.Error(err)
			}
		})
	}
}

func TestAMailServiceThatSendsTooMuch(t *testing.T) {
	t.Parallel()
	endless := serveScript(t, true, func(c *scripted) {
		for range 100 {
			c.say(strings.Repeat("* OK ", 2000))
		}
		c.hear()
	})
	err := loginWith(t, endless.roots, ample, Login{IMAP: endless.address})
	if err == nil || !strings.Contains(err.Error(), "sent too much") {
		t.Error(err)
	}
}

func TestMailServicesThatAreWrong(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"mail.example":          "not host:port",
		":465":                  "no host",
		"mail.example:0":        "port is not a number",
		"mail.example:smtps":    "port is not a number",
		"https://mail.example/": "port is not a number",
		"user@mail.example:465": "not host:port",
		"mail.example:25":       "port 25",
	} {
		c := entry("https://mail.example")
		c.Login.SMTP = text
		_, err := New([]ServerConfig{c}, quick())
		if err == nil || !strings.Contains(err.Error(), "login.smtp: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func FuzzAnswersOfIMAP(f *testing.F) {
	f.Add("* OK\r\n", "+ \r\n", "a2 OK\r\n")
	f.Add("* BYE\r\n", "a2 NO [", "a2 NO [LIMIT\r\n")
	f.Fuzz(func(t *testing.T, greeting, toCommand, toPassword string) {
		client, server := net.Pipe()
		defer client.Close()
		go func() { _, _ = io.Copy(io.Discard, server) }() // ends with the connection
		go func() {
			_, _ = server.Write([]byte(greeting + toCommand + toPassword))
			_ = server.Close()
		}()
		session, err := openIMAP(client, mailService{})
		if err == nil {
			err = session.authenticate(user, crypto.SecretFromString(oldPassword))
		}
		if err == nil && !strings.Contains(strings.ToUpper(greeting+toCommand+toPassword), "A2 OK") {
			t.Error("accepted without an OK")
		}
	})
}
