package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"

	"mailu-rotator/crypto"
	"mailu-rotator/vault/vaulttest"
)

// masterKey reads the key as any reader would, without the program's help.
func (s *stage) masterKey(ctx context.Context) (*crypto.Keyring, error) {
	exported, err := s.client.Logical().ReadWithContext(ctx, "transit/export/encryption-key/smtp-master")
	if err != nil {
		return nil, fmt.Errorf("export master key: %w", err)
	}
	keys := map[crypto.KeyVersion][]byte{}
	for name, value := range exported.Data["keys"].(map[string]any) {
		version, err := strconv.Atoi(name)
		if err != nil {
			return nil, fmt.Errorf("master key version %q: %w", name, err)
		}
		if keys[crypto.KeyVersion(version)], err = base64.StdEncoding.DecodeString(value.(string)); err != nil {
			return nil, fmt.Errorf("master key version %d: %w", version, err)
		}
	}
	return crypto.NewKeyring(keys)
}

// inspect compares what Vault holds with what each Mailu accepts.
func (s *stage) inspect(ctx context.Context) error {
	keys, err := s.masterKey(ctx)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TENANT\tMAILU ACCEPTS VAULT'S PASSWORD\tACCEPTS THE FIRST ONE\tKV VERSION\tPENDING")
	lockedOut := 0
	for _, t := range s.tenants {
		fields, version, err := s.vault.Get(ctx, vaulttest.DefaultLayout().Path(t.id))
		if err != nil {
			return err
		}
		password, err := open(keys, t.id, fields)
		if err != nil {
			return err
		}
		server := s.mailus[t.mailu]
		accepts := server.Accepts(t.user, password.RevealString())
		if !accepts {
			lockedOut++
		}
		_, pending := fields["pending"]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", t.id, yes(accepts), yes(server.Accepts(t.user, t.first)), version, yes(pending))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Printf("\nlocked out: %d\n", lockedOut)
	if lockedOut > 0 {
		return fmt.Errorf("%d tenants are locked out", lockedOut)
	}
	return nil
}

func open(keys *crypto.Keyring, id string, fields map[string]any) (crypto.Secret, error) {
	lastRotated, _ := fields["last_rotated"].(string)
	version := 0
	if number, ok := fields["key_version"].(json.Number); ok {
		version, _ = strconv.Atoi(number.String())
	}
	sealed, _ := fields["password"].(string)
	password, err := keys.Open(crypto.KeyVersion(version), crypto.Binding{TenantID: id, LastRotated: lastRotated}, crypto.SealedPassword(sealed))
	if err != nil {
		return password, fmt.Errorf("open the password of %s: %w", id, err)
	}
	return password, nil
}

// prove shows each step from the record to a password that Mailu accepts.
func (s *stage) prove(ctx context.Context) error {
	t := s.tenants[0]
	fields, version, err := s.vault.Get(ctx, vaulttest.DefaultLayout().Path(t.id))
	if err != nil {
		return err
	}
	keys, err := s.masterKey(ctx)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	password, err := open(keys, t.id, fields)
	if err != nil {
		return err
	}
	defer password.Wipe()
	clear := password.RevealString()
	fmt.Printf("record     vault/smtp/%s/admin, version %d\n", t.id, version)
	fmt.Printf("sealed     %s\n", fields["password"])
	fmt.Printf("for        last_rotated %s, key_version %s\n", fields["last_rotated"], fields["key_version"])
	fmt.Printf("opened     %s%s (%d characters; shown in part)\n", clear[:4], "****", len(clear))
	fmt.Printf("login      %s at %s: accepted %s\n", t.user, s.mailus[t.mailu].Origin(), yes(s.mailus[t.mailu].Login(t.user, clear)))
	return nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
