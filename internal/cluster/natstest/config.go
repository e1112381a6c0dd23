package natstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"
)

// User may connect with the private key of Nkey. Publish and Subscribe are the subjects
// that it may use, nil means all. Requests, such as all of JetStream's, need a
// subscription to _INBOX.> for the answers.
type User struct {
	Nkey      string // public, U...
	Publish   []string
	Subscribe []string
}

// NewNkey makes a key, writes its seed to a file, which clients need, and returns the
// public key.
func NewNkey(seedFile string) (public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", fmt.Errorf("make an nkey: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return "", fmt.Errorf("make an nkey: %w", err)
	}
	if err := os.WriteFile(seedFile, seed, 0o600); err != nil {
		return "", fmt.Errorf("write the seed of an nkey: %w", err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		return "", fmt.Errorf("make an nkey: %w", err)
	}
	return public, nil
}

// section is a block of the configuration, which may be written as JSON.
type section map[string]any

// config is what the server reads.
func (s *Server) config() ([]byte, error) {
	settings := section{
		"server_name": s.Name,
		"listen":      s.Addr,
		"http":        s.monitor,
		"jetstream":   section{"store_dir": s.store()},
	}
	if s.ca != nil {
		settings["tls"] = section{"cert_file": s.cert, "key_file": s.key, "ca_file": s.CACert, "verify": true}
	}
	if len(s.opts.Users) > 0 {
		settings["authorization"] = section{"users": users(s.opts.Users)}
	}
	if s.clustered() {
		settings["cluster"] = section{
			"name":   "natstest",
			"listen": s.route,
			"routes": s.routes(),
			// Clients would learn the other addresses, and pass by a link that is cut.
			"no_advertise": true,
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // the server reads no \u003e
	for key, value := range settings {
		text.WriteString(key + ": ")
		if err := encoder.Encode(value); err != nil {
			return nil, fmt.Errorf("write the configuration of nats-server: %w", err)
		}
	}
	text.WriteString(s.opts.Config + "\n")
	return text.Bytes(), nil
}

func users(all []User) []section {
	sections := make([]section, len(all))
	for i, u := range all {
		permissions := section{}
		if u.Publish != nil {
			permissions["publish"] = section{"allow": u.Publish}
		}
		if u.Subscribe != nil {
			permissions["subscribe"] = section{"allow": u.Subscribe}
		}
		sections[i] = section{"nkey": u.Nkey, "permissions": permissions}
	}
	return sections
}

func (s *Server) routes() []string {
	var routes []string
	for _, member := range s.members {
		routes = append(routes, "nats://"+member.route)
	}
	return routes
}

func (s *Server) clustered() bool { return len(s.members) > 1 }

func (s *Server) scheme() string {
	if s.ca != nil {
		return "tls://"
	}
	return "nats://"
}

func (s *Server) store() string { return filepath.Join(s.dir, "store") }
