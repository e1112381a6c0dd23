// Reader logs in as tenants' Mailu users with the passwords that mailu-rotator keeps in
// Vault. docs/readers.md explains it. Input: a tenant's id a line. Output: which password
// was accepted, never the password. Environment: VAULT_ADDR (https),
// CREDENTIALS_DIRECTORY (role-id, secret-id), MAIL_SERVER (host:port, TLS at once).
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// After a refusal until the record is read again, and for the last try.
const pause, grace = 100 * time.Millisecond, 5 * time.Second

func main() {
	bound, invalid := time.ParseDuration(cmp.Or(os.Getenv("BOUND"), "10") + "s")
	vault, err := newVault()
	if err := errors.Join(invalid, err); err != nil {
		log.Fatal(err)
	}
	r := reader{vault: vault, bound: bound, known: map[string]*known{}}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		which, err := r.logIn(context.Background(), lines.Text())
		if err != nil {
			which = "failed: " + strings.Join(strings.Fields(err.Error()), " ") // of Vault's, on one line
		}
		fmt.Println(lines.Text(), which)
	}
}

type reader struct {
	vault *vault
	bound time.Duration     // until a login is given up
	known map[string]*known // by tenant
}

// known is what one version of a record offers; what was accepted comes first.
type known struct {
	version int
	offers  []*offer
}

type offer struct {
	which string
	part
	password crypto.Secret // empty until it is opened
}

// logIn says which password was accepted. The passwords of one version of the record
// are offered once.
func (r *reader) logIn(ctx context.Context, tenant string) (which string, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.bound+grace)
	defer cancel()
	refused := 0
	for deadline := time.Now().Add(r.bound); time.Now().Before(deadline); time.Sleep(pause) {
		record, err := r.vault.record(ctx, tenant)
		if err != nil {
			return "", err
		}
		version := record.Metadata.Version
		if version == refused {
			continue
		}
		if r.known[tenant] == nil || r.known[tenant].version != version {
			r.known[tenant] = &known{version, record.offers()}
		}
		offers := r.known[tenant].offers
		for i, o := range offers {
			if err := r.vault.open(ctx, tenant, o); err != nil {
				return "", err
			}
			accepted, err := try(ctx, record.Data.Username, o.password)
			if err != nil {
				return "", err
			}
			if accepted {
				offers[0], offers[i] = o, offers[0]
				return o.which, nil
			}
		}
		refused = version
	}
	return "", fmt.Errorf("refused for %s: run mailu-rotator verify --tenant %s", r.bound, tenant)
}

// try offers a password to the mail server. Only code 535 refuses it: a fault, or a limit
// of logins, says nothing about it.
func try(ctx context.Context, username string, password crypto.Secret) (accepted bool, err error) {
	server := os.Getenv("MAIL_SERVER") // not from the record, whose writer could name another
	host, _, _ := net.SplitHostPort(server)
	connection, err := new(tls.Dialer).DialContext(ctx, "tcp", server)
	if err != nil {
		return false, err
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Now()) })()
	client, err := smtp.NewClient(connection, host)
	if err == nil {
		err = client.Auth(smtp.PlainAuth("", username, password.RevealString(), host))
	}
	if refusal := (*textproto.Error)(nil); errors.As(err, &refusal) && refusal.Code == 535 {
		return false, nil
	}
	return err == nil, err
}
