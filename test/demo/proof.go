package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"mailu-rotator/crypto"
	"mailu-rotator/test/vaultread"
	"mailu-rotator/vault/vaulttest"
)

// masterKey reads the key as any reader would, without the program's help.
func (s *stage) masterKey(ctx context.Context) (*crypto.Keyring, error) {
	keys, err := vaultread.MasterKeys(ctx, s.client, "transit", "smtp-master")
	if err != nil {
		return nil, err
	}
	return crypto.NewKeyring(keys)
}

// inspect compares what Vault holds with what each Mailu accepts. by, unless it is nil,
// names the process that rotated a tenant.
func (s *stage) inspect(ctx context.Context, by func(tenant) string) error {
	keys, err := s.masterKey(ctx)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "TENANT\tMAILU ACCEPTS VAULT'S PASSWORD\tACCEPTS THE FIRST ONE\tKV VERSION\tPENDING")
	if by != nil {
		fmt.Fprint(table, "\tROTATED BY")
	}
	fmt.Fprintln(table)
	lockedOut := 0
	for _, t := range s.tenants {
		fields, version, err := s.vault.Get(ctx, vaulttest.DefaultLayout().Path(t.id))
		if err != nil {
			return err
		}
		password, err := vaultread.Open(keys, t.id, fields)
		if err != nil {
			return err
		}
		server := s.mailus[t.mailu]
		accepts := server.Accepts(t.user, password.RevealString())
		if !accepts {
			lockedOut++
		}
		_, pending := fields["pending"]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s", t.id, yes(accepts), yes(server.Accepts(t.user, t.first)), version, yes(pending))
		if by != nil {
			fmt.Fprint(table, "\t", by(t))
		}
		fmt.Fprintln(table)
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
	password, err := vaultread.Open(keys, t.id, fields)
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
