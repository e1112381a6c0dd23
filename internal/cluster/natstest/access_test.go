package natstest_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/cluster/natstest"

	"github.com/nats-io/nats.go"
)

func TestTLSRefusesStrangers(t *testing.T) {
	s := natstest.Run(t, natstest.Options{TLS: true})
	other := natstest.Run(t, natstest.Options{TLS: true})
	known, err := clientCert(s, "worker")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := clientCert(other, "worker")
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		options []nats.Option
		want    string // part of the error, empty for a connection
	}{
		"a certificate of its CA":      {[]nats.Option{nats.RootCAs(s.CACert), known}, ""},
		"no certificate":               {[]nats.Option{nats.RootCAs(s.CACert)}, "tls"},
		"a certificate of another CA":  {[]nats.Option{nats.RootCAs(s.CACert), foreign}, "tls"},
		"a client that has another CA": {[]nats.Option{nats.RootCAs(other.CACert), known}, "tls: failed to verify certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := nats.Connect(s.URL, c.options...)
			if err == nil {
				client.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func clientCert(s *natstest.Server, name string) (nats.Option, error) {
	cert, key, err := s.ClientCert(name)
	return nats.ClientCert(cert, key), err
}

func TestClientCertNeedsTLS(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})

	if _, _, err := s.ClientCert("worker"); err == nil {
		t.Fatal("a server without a CA issued a certificate")
	}
}

func TestLinkPassesTLS(t *testing.T) {
	s := natstest.Run(t, natstest.Options{TLS: true})
	known, err := clientCert(s, "worker")
	if err != nil {
		t.Fatal(err)
	}
	_, url := s.Link(t)

	client, _ := connect(t, url, nats.RootCAs(s.CACert), known)

	if !strings.HasPrefix(url, "tls://") {
		t.Errorf("%s allows a connection without TLS", url)
	}
	if _, err := client.TLSConnectionState(); err != nil {
		t.Error(err)
	}
}

// nkey makes a key and returns it with the client's option for it.
func nkey(t *testing.T) (public string, option nats.Option) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seed")
	public, err := natstest.NewNkey(file)
	if err != nil {
		t.Fatal(err)
	}
	option, err = nats.NkeyOptionFromSeed(file)
	if err != nil {
		t.Fatal(err)
	}
	return public, option
}

func TestNkeysRefuseOtherKeys(t *testing.T) {
	public, known := nkey(t)
	_, stranger := nkey(t)
	s := natstest.Run(t, natstest.Options{Users: []natstest.User{{Nkey: public}}})

	connect(t, s.URL, known)

	for name, options := range map[string][]nats.Option{"another key": {stranger}, "no key": nil} {
		t.Run(name, func(t *testing.T) {
			client, err := nats.Connect(s.URL, options...)
			if !errors.Is(err, nats.ErrAuthorization) {
				client.Close()
				t.Fatalf("got %v, want %v", err, nats.ErrAuthorization)
			}
		})
	}
}

func TestUsersAreHeldToTheirSubjects(t *testing.T) {
	everybody, all := nkey(t)
	worker, limited := nkey(t)
	s := natstest.Run(t, natstest.Options{Users: []natstest.User{
		{Nkey: everybody},
		{Nkey: worker, Publish: []string{"results.>"}, Subscribe: []string{"work.>"}},
	}})
	for name, c := range map[string]struct {
		user nats.Option
		use  func(*nats.Conn) error
		want error
	}{
		"publish to an allowed subject":     {limited, publish("results.a"), nil},
		"publish to another subject":        {limited, publish("work.a"), nats.ErrPermissionViolation},
		"subscribe to an allowed subject":   {limited, subscribe("work.a"), nil},
		"subscribe to another subject":      {limited, subscribe("results.a"), nats.ErrPermissionViolation},
		"publish without a restriction":     {all, publish("work.a"), nil},
		"subscribe without a restriction":   {all, subscribe("results.a"), nil},
		"subscribe to all of a restriction": {limited, subscribe(">"), nats.ErrPermissionViolation},
	} {
		t.Run(name, func(t *testing.T) {
			refused := make(chan error, 1)
			client, _ := connect(t, s.URL, c.user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))

			if err := c.use(client); err != nil {
				t.Fatal(err)
			}
			// The refusal comes before the answer to the flush.
			if err := client.FlushTimeout(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			client.Close() // waits for the error handler

			var got error
			select {
			case got = <-refused:
			case <-time.After(50 * time.Millisecond):
			}
			if !errors.Is(got, c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

func publish(subject string) func(*nats.Conn) error {
	return func(client *nats.Conn) error { return client.Publish(subject, nil) }
}

func subscribe(subject string) func(*nats.Conn) error {
	return func(client *nats.Conn) error {
		_, err := client.SubscribeSync(subject)
		return err
	}
}
