package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/vaultread"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

// site is one installation of the program: a KV mount and a master key in the shared
// Vault, Mailu servers, tenants, and a directory with the configuration and the secret
// files.
type site struct {
	*fixture
	dir     string
	name    string // of mount, policy and AppRole in Vault
	key     string // the master key, which sites share unless they change it
	address string // Vault's address for the program: direct, or a proxy's
	auth    map[string]any
	mailus  []*mailuServer // in the order of the configuration
	tenants map[string]*tenant
}

type mailuServer struct {
	*mailutest.Server
	name string
}

func (s *site) layout() vaulttest.Layout {
	l := vaulttest.DefaultLayout()
	l.Mount, l.TransitKey = s.name, s.key
	return l
}

func (f *fixture) newSite(dir string) *site {
	return &site{
		fixture: f, dir: dir, name: fmt.Sprintf("site-%d", f.sites.Add(1)), address: f.vault.Addr,
		auth:    map[string]any{"method": "token_file", "token_file": "vault-token"},
		key:     vaulttest.DefaultLayout().TransitKey,
		tenants: map[string]*tenant{},
	}
}

// provision creates mount and key, and a token with exactly the policy that the program
// prints.
func (s *site) provision(ctx context.Context) error {
	layout := s.layout()
	if err := s.vault.Provision(ctx, layout); err != nil {
		return err
	}
	policy, err := vault.Policy(vault.Config{
		Address: s.address, Mount: layout.Mount, Prefix: layout.Prefix, Leaf: layout.Leaf,
		Transit: vault.Transit{Mount: layout.TransitMount, Key: layout.TransitKey},
	})
	if err != nil {
		return err
	}
	if err := s.vault.WritePolicy(ctx, s.name, policy); err != nil {
		return err
	}
	return s.issueToken(ctx, s.name)
}

// issueToken replaces the program's token by one with these policies.
func (s *site) issueToken(ctx context.Context, policies ...string) error {
	token, err := s.vault.Token(ctx, policies...)
	if err != nil {
		return err
	}
	return s.secretFile("vault-token", token)
}

// secretFile writes a secret that the program reads and must not print.
func (s *site) secretFile(name, content string) error {
	s.ledger.addToken(name, content)
	return os.WriteFile(filepath.Join(s.dir, name), []byte(content+"\n"), 0o600)
}

// startMailu runs a server with its own token.
func (s *site) startMailu(name string) (*mailuServer, error) {
	return s.startMailuWith(name, mailutest.Config{})
}

func (s *site) startMailuWith(name string, config mailutest.Config) (*mailuServer, error) {
	config.Rounds, config.Token = 4, "api-token/"+s.name+"+"+name
	server, err := mailutest.Start(config)
	if err != nil {
		return nil, err
	}
	m := &mailuServer{Server: server, name: name}
	s.mailus = append(s.mailus, m)
	return m, s.secretFile(name+".token", server.Token())
}

// mailu returns the server with the name, or the only one for "".
func (s *site) mailu(name string) (*mailuServer, error) {
	i := slices.IndexFunc(s.mailus, func(m *mailuServer) bool { return m.name == name })
	switch {
	case i >= 0:
		return s.mailus[i], nil
	case name == "" && len(s.mailus) == 1:
		return s.mailus[0], nil
	}
	return nil, fmt.Errorf("no mailu server %q among %d", name, len(s.mailus))
}

// enableAppRole replaces the login by an AppRole with the policy of the name.
func (s *site) enableAppRole(ctx context.Context, policy string) error {
	if err := s.root.Sys().EnableAuthWithOptionsWithContext(ctx, s.name, &api.EnableAuthOptions{Type: "approle"}); err != nil {
		return err
	}
	role := "auth/" + s.name + "/role/rotator"
	if _, err := s.root.Logical().WriteWithContext(ctx, role, map[string]any{"token_policies": policy, "token_ttl": "10m"}); err != nil {
		return err
	}
	id, err := s.root.Logical().ReadWithContext(ctx, role+"/role-id")
	if err != nil {
		return err
	}
	secret, err := s.root.Logical().WriteWithContext(ctx, role+"/secret-id", nil)
	if err != nil {
		return err
	}
	if err := s.secretFile("role-id", id.Data["role_id"].(string)); err != nil {
		return err
	}
	s.auth = map[string]any{"method": "approle", "mount": s.name, "role_id_file": "role-id", "secret_id_file": "secret-id"}
	return s.secretFile("secret-id", secret.Data["secret_id"].(string))
}

// leave adds all output to the log scan and stops the Mailu servers. It has its own
// context, since a test's ends before its cleanup begins.
func (s *site) leave() error {
	defer s.closeMailus()
	return s.recordSecrets(context.Background())
}

func (s *site) closeMailus() {
	for _, m := range s.mailus {
		m.Close()
	}
}

func (s *site) configFile() string { return filepath.Join(s.dir, "config.yaml") }

// writeConfig writes the configuration as JSON, which is YAML. A setting is
// section.key=value, the value of a list or section in JSON; server.key=value is for every Mailu
// server.
func (s *site) writeConfig(settings ...string) error {
	layout := s.layout()
	server := map[string]any{}
	doc := map[string]any{
		"vault": map[string]any{
			"address": s.address, "auth": s.auth, "mount": layout.Mount, "prefix": layout.Prefix,
			"transit": map[string]any{"mount": layout.TransitMount, "key": layout.TransitKey},
		},
		"rotation": map[string]any{},
		"verify":   map[string]any{},
		"listen":   map[string]any{"address": ""}, // a fixed port would conflict between tests
		"hooks":    map[string]any{},
		"log":      map[string]any{},
		"cluster":  map[string]any{},
		"server":   server,
	}
	for _, setting := range settings {
		if err := set(doc, setting); err != nil {
			return err
		}
	}
	delete(doc, "server")
	var servers []any
	for _, m := range s.mailus {
		entry := map[string]any{"origin": m.Origin(), "token_file": m.name + ".token"}
		for key, value := range server {
			entry[key] = value
		}
		servers = append(servers, entry)
	}
	doc["mailu"] = map[string]any{"servers": servers}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.configFile(), text, 0o600)
}

func set(doc map[string]any, setting string) error {
	path, text, found := strings.Cut(setting, "=")
	var value any = text
	if number, err := strconv.Atoi(text); err == nil {
		value = number
	} else if flag, err := strconv.ParseBool(text); err == nil {
		value = flag
	} else if strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{") {
		value = json.RawMessage(text)
	}
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		section, isMap := doc[key].(map[string]any)
		if !isMap {
			return fmt.Errorf("setting %q: no section %q", setting, key)
		}
		doc = section
	}
	if !found {
		return fmt.Errorf("setting %q: want section.key=value", setting)
	}
	doc[keys[len(keys)-1]] = value
	return nil
}

// keyring reads the master key as any other reader would.
func (s *site) keyring(ctx context.Context) (*crypto.Keyring, error) {
	keys, err := vaultread.MasterKeys(ctx, s.root, s.layout().TransitMount, s.key)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		s.ledger.addKey("master key "+s.key, key)
	}
	return crypto.NewKeyring(keys)
}

// held is what Vault holds for a tenant, opened without the program's code.
type held struct {
	version     int
	lastRotated string
	current     string
	sealed      string
	pending     string // "" at rest
}

// read opens version n of a tenant's record; 0 is the newest.
func (s *site) read(ctx context.Context, t *tenant, n int) (h held, err error) {
	l := s.layout()
	secret, err := s.root.KVv2(l.Mount).GetVersion(ctx, l.Path(t.id), n)
	if err != nil {
		return h, err
	}
	h.version = secret.VersionMetadata.Version
	h.lastRotated, _ = secret.Data["last_rotated"].(string)
	h.sealed, _ = secret.Data["password"].(string)
	ring, err := s.keyring(ctx)
	if err != nil {
		return h, err
	}
	defer ring.Wipe()
	if h.current, err = s.open(ring, t, secret.Data); err != nil {
		return h, err
	}
	if pending, isMap := secret.Data["pending"].(map[string]any); isMap {
		h.pending, err = s.open(ring, t, pending)
	}
	return h, err
}

func (s *site) open(ring *crypto.Keyring, t *tenant, fields map[string]any) (string, error) {
	sealed, isText := fields["password"].(string)
	if !isText {
		return "", nil // a record that was seeded malformed
	}
	lastRotated, _ := fields["last_rotated"].(string)
	number, _ := fields["key_version"].(json.Number)
	version, _ := number.Int64()
	as := openedKey(t, lastRotated, version, sealed)
	if known, found := s.opened.Load(as); found {
		return known.(string), nil
	}
	password, err := vaultread.Open(ring, t.id, fields)
	if err != nil {
		return "", fmt.Errorf("%s: %w", t.name, err)
	}
	s.ledger.addToken("sealed password of "+t.name, sealed)
	s.ledger.addToken("password of "+t.name, password.RevealString())
	s.opened.Store(as, password.RevealString())
	return password.RevealString(), nil
}

// recordSecrets tells the ledger every password that Vault has ever held for this site.
func (s *site) recordSecrets(ctx context.Context) error {
	for _, t := range s.tenants {
		newest, err := s.read(ctx, t, 0)
		if err != nil {
			return err
		}
		for n := t.version; n < newest.version; n++ {
			if _, err := s.read(ctx, t, n); err != nil && !errors.Is(err, api.ErrSecretNotFound) { // dropped by max_versions
				return err
			}
		}
	}
	return nil
}

// reachable is the invariant at any moment: Mailu accepts a password that Vault holds.
// While a process works on the tenant Vault may be a step ahead of what was read, so a
// mismatch is read again.
func (s *site) reachable(ctx context.Context, t *tenant) error {
	for range 3 {
		h, err := s.read(ctx, t, 0)
		if err != nil {
			return err
		}
		if t.mailu.Accepts(t.user, h.current) || t.mailu.Accepts(t.user, h.pending) {
			return nil
		}
	}
	return fmt.Errorf("%s is locked out: mailu accepts neither the current nor the pending password", t.name)
}

// settled is the invariant at rest.
func (s *site) settled(ctx context.Context, t *tenant) (held, error) {
	h, err := s.read(ctx, t, 0)
	switch {
	case err != nil:
		return h, err
	case h.pending != "":
		return h, fmt.Errorf("%s has a pending password", t.name)
	case !t.mailu.Accepts(t.user, h.current):
		return h, fmt.Errorf("%s is locked out: mailu does not accept the password in vault", t.name)
	}
	return h, nil
}

// accepts is settled without details.
func (s *site) accepts(ctx context.Context, t *tenant) error {
	_, err := s.settled(ctx, t)
	return err
}

// rotated: at rest with a password that neither the seed nor anyone but the program
// made.
func (s *site) rotated(ctx context.Context, t *tenant) error {
	h, err := s.settled(ctx, t)
	if err != nil {
		return err
	}
	if h.current == t.first || h.current == t.begun {
		return fmt.Errorf("%s was not rotated", t.name)
	}
	return nil
}

// finished: at rest with exactly the password that was pending.
func (s *site) finished(ctx context.Context, t *tenant) error {
	h, err := s.settled(ctx, t)
	if err != nil {
		return err
	}
	if h.current != t.begun {
		return fmt.Errorf("%s does not have the password that was pending", t.name)
	}
	return nil
}

// untouched: no write to Vault, no password set in Mailu.
func (s *site) untouched(ctx context.Context, t *tenant) error {
	h, err := s.read(ctx, t, 0)
	switch {
	case err != nil:
		return err
	case h.version != t.version:
		return fmt.Errorf("the record of %s was written: version %d, seeded as %d", t.name, h.version, t.version)
	case t.mailu.PasswordSets(t.user) != 0:
		return fmt.Errorf("the password of %s was set in mailu", t.name)
	}
	return nil
}

// removed checks that Vault has nothing left of the tenant, and that Mailu accepts its
// last password as before. The tenant is forgotten.
func (s *site) removed(ctx context.Context, t *tenant) error {
	_, err := s.root.KVv2(s.layout().Mount).GetMetadata(ctx, s.layout().Path(t.id))
	switch {
	case !errors.Is(err, api.ErrSecretNotFound):
		return fmt.Errorf("%s is left in vault: %w", t.name, err)
	case !t.mailu.Accepts(t.user, t.first) && !t.mailu.Accepts(t.user, t.begun):
		return fmt.Errorf("mailu does not accept the last password of %s", t.name)
	}
	delete(s.tenants, t.name)
	return nil
}
