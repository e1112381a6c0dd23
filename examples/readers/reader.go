// Reader logs in as tenants' Mailu users with the passwords that mailu-rotator keeps in Vault. docs/readers.md explains
// it. Input: a tenant's id a line. Output: which password was accepted, never the password. Environment: VAULT_ADDR
// (https), CREDENTIALS_DIRECTORY (role-id, secret-id), MAIL_SERVER (host:port, TLS at once).
package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"mailu-rotator/crypto"
)

const bound, timeout = 10 * time.Second, 5 * time.Second // until a login is given up; for each call

// record is a tenant's, at one version. The password that was accepted is moved to the front.
type record struct {
	Metadata struct{ Version int }
	Data     struct {
		Username string
		part
		Pending part
	}
}

// part is what it takes to open a password.
type part struct {
	Password    crypto.SealedPassword
	LastRotated string            `json:"last_rotated"` // the exact string: the key depends on it
	KeyVersion  crypto.KeyVersion `json:"key_version"`  // 0 in a record written elsewhere: any
	which       string
	opened      crypto.Secret
}

func main() {
	config := api.DefaultConfig()                           // with VAULT_ADDR
	config.Timeout, config.DisableRedirects = timeout, true // the token is for Vault alone
	vault, known := must(api.NewClient(config)), map[string]*record{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(lines.Text(), logIn(vault, known, lines.Text()))
	}
}

// must panics if there is an error, which ends the login: logIn reports it, and the next one begins.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// logIn says which password was accepted. Those of one version of the record are offered once.
func logIn(vault *api.Client, known map[string]*record, tenant string) (outcome string) {
	defer func() {
		if err, failed := recover().(error); failed {
			outcome = "failed: " + strings.Join(strings.Fields(err.Error()), " ") // Vault's have several lines
		}
	}()
	if len(tenant) != 36 || strings.Trim(tenant, "0123456789abcdefABCDEF-") != "" { // it could be another path
		panic(errors.New("not a tenant's id"))
	}
	for end, refused := time.Now().Add(bound), 0; time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		now := read[record](vault, "vault/data/smtp/"+tenant+"/admin")
		now.Data.which, now.Data.Pending.which = "current", "pending"
		if before := known[tenant]; before == nil || before.Metadata != now.Metadata {
			known[tenant] = now
		}
		data := &known[tenant].Data
		for _, offer := range []*part{&data.part, &data.Pending} {
			if now.Metadata.Version == refused || offer.Password == "" && data.Password != data.Pending.Password {
				continue // it was offered; or there is only the other one, at rest or while a tenant is added
			}
			if offer.opened.Empty() {
				exported := read[struct{ Keys map[crypto.KeyVersion][]byte }](vault, "transit/export/encryption-key/smtp-master")
				from := crypto.Binding{TenantID: tenant, LastRotated: offer.LastRotated}
				offer.opened = must(must(crypto.NewKeyring(exported.Keys)).Open(offer.KeyVersion, from, offer.Password))
			}
			if accepted(data.Username, offer.opened) {
				data.part, *offer = *offer, data.part
				return data.which
			}
		}
		refused = now.Metadata.Version
	}
	panic(fmt.Errorf("refused for %s: run mailu-rotator verify --tenant %s", bound, tenant))
}

// read returns what Vault has at a path. Without a token, or with one that has expired, it logs in first.
func read[T any](vault *api.Client, path string) *T {
	answer, err := vault.Logical().ReadRaw(path)
	if refusal, ok := errors.AsType[*api.ResponseError](err); ok && refusal.StatusCode == 403 {
		directory := os.Getenv("CREDENTIALS_DIRECTORY")
		text := func(name string) string { return strings.TrimSpace(string(must(os.ReadFile(directory + name)))) }
		credentials := map[string]any{"role_id": text("/role-id"), "secret_id": text("/secret-id")}
		vault.SetToken(must(vault.Logical().Write("auth/approle/login", credentials)).Auth.ClientToken)
		answer, err = vault.Logical().ReadRaw(path)
	}
	defer must(answer, err).Body.Close()
	data := new(T)
	return must(data, answer.DecodeJSON(&struct{ Data *T }{data}))
}

// accepted offers a password to the mail server. Only code 535 refuses it: a fault, or a limit of logins, says nothing.
func accepted(username string, password crypto.Secret) bool {
	// The server is not from the record, whose writer could name another.
	connection := must(tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", os.Getenv("MAIL_SERVER"), nil))
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(timeout))
	err := must(smtp.NewClient(connection, "")).Auth(smtp.PlainAuth("", username, password.RevealString(), ""))
	reply, ok := errors.AsType[*textproto.Error](err)
	return !(ok && reply.Code == 535) && must(true, err)
}
