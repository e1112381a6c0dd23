package mailutest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"mailu-rotator/mailu/mailutest"
)

// session is one connection to the submission service: the last line of each answer to
// these lines.
func session(t *testing.T, server *mailutest.Server, address string, lines ...string) (answers []string) {
	t.Helper()
	connection, err := dial(server, address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	smtp := textproto.NewConn(connection)
	for _, line := range append([]string{""}, lines...) {
		if line != "" {
			if err := smtp.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		answer := "-"
		for strings.HasPrefix(answer[min(3, len(answer)-1):], "-") {
			if answer, err = smtp.ReadLine(); err != nil {
				t.Fatal(err)
			}
		}
		answers = append(answers, answer)
	}
	return answers
}

func dial(server *mailutest.Server, address string) (*tls.Conn, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.CAPEM())
	return tls.Dial("tcp", address, &tls.Config{RootCAs: roots})
}

func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

func TestSubmissionLogsUsersIn(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{TLS: true})
	server.AddUser("off@example.com", secret)
	server.SetEnabled("off@example.com", false)
	address, err := server.AddSubmission(nil)
	if err != nil {
		t.Fatal(err)
	}
	const refused = "535 5.7.8 Authentication credentials invalid"
	for name, test := range map[string]struct{ lines, want []string }{
		"right":             {[]string{"AUTH PLAIN " + plain(alice, secret)}, []string{"235 2.0.0 OK"}},
		"right, any case":   {[]string{"auth plain " + plain("Alice@Example.COM", secret)}, []string{"235 2.0.0 OK"}},
		"on the next line":  {[]string{"AUTH PLAIN", plain(alice, secret)}, []string{"334 ", "235 2.0.0 OK"}},
		"wrong":             {[]string{"AUTH PLAIN " + plain(alice, "wrong")}, []string{refused}},
		"wrong, then right": {[]string{"AUTH PLAIN " + plain(alice, "wrong"), "AUTH PLAIN " + plain(alice, secret)}, []string{refused, "235 2.0.0 OK"}},
		"unknown user":      {[]string{"AUTH PLAIN " + plain("bob@example.com", secret)}, []string{refused}},
		"disabled user":     {[]string{"AUTH PLAIN " + plain("off@example.com", secret)}, []string{refused}},
		"not base64":        {[]string{"AUTH PLAIN %%%"}, []string{"501 5.5.2 Syntax error"}},
		"two parts":         {[]string{"AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("a\x00b"))}, []string{"501 5.5.2 Syntax error"}},
		"another mechanism": {[]string{"AUTH LOGIN"}, []string{"501 5.5.2 Syntax error"}},
		"other commands":    {[]string{"EHLO here", "NOOP", "MAIL FROM:<>", "QUIT"}, []string{"250 AUTH PLAIN", "250 2.0.0 OK", "502 5.5.1 Invalid command", "221 2.0.0 Bye"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := session(t, server, address, test.lines...)

			if want := append([]string{"220 mailutest ESMTP ready"}, test.want...); !slices.Equal(got, want) {
				t.Errorf("answers %q, want %q", got, want)
			}
		})
	}
}

func TestSubmissionKeepsTheResults(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{TLS: true})
	replies := []string{"", "451 4.3.2 Temporary authentication failure (rate-limit)", ""}
	var offered []string
	address, err := server.AddSubmission(func(email, password string) (reply string) {
		offered = append(offered, email+" "+password)
		reply, replies = replies[0], replies[1:]
		return reply
	})
	if err != nil {
		t.Fatal(err)
	}

	got := session(t, server, address, "AUTH PLAIN "+plain(alice, "wrong"), "AUTH PLAIN "+plain(alice, secret), "AUTH PLAIN "+plain(alice, secret))

	if !strings.HasPrefix(got[1], "535") || !strings.HasPrefix(got[2], "451") || !strings.HasPrefix(got[3], "235") {
		t.Errorf("answers %q", got)
	}
	if results := server.Logins(alice); !slices.Equal(results, []bool{false, true}) {
		t.Errorf("results %v, want those that the check decided", results)
	}
	if want := []string{alice + " wrong", alice + " " + secret, alice + " " + secret}; !slices.Equal(offered, want) {
		t.Errorf("offered %q", offered)
	}
}

func TestSubmissionEndsWithTheServer(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{TLS: true})
	address, err := server.AddSubmission(nil)
	if err != nil {
		t.Fatal(err)
	}
	idle, err := dial(server, address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()

	server.Close() // hangs if it waits for the client

	if _, err := dial(server, address); err == nil {
		t.Error("it still serves")
	}
}

func TestSubmissionNeedsTLS(t *testing.T) {
	if _, err := runWithAlice(t, mailutest.Config{}).AddSubmission(nil); err == nil {
		t.Error("passwords would cross the network in the clear")
	}
}
