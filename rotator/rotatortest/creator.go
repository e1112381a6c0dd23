package rotatortest

import (
	"context"
	"fmt"
	"strings"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Creator creates records in Store and users in Mailu.
type Creator struct {
	Store *Store
	Mailu *Mailu
}

// CreateRecord implements rotator.Creator.
func (r Creator) CreateRecord(_ context.Context, tenant rotator.TenantID, fields map[string]any) (version int, err error) {
	err = r.Store.Hook.around(Call{Op: OpCreate, Tenant: tenant}, func() (err error) {
		version, err = r.Store.put(tenant, rotator.Document{Fields: fields})
		return err
	})
	return version, err
}

// CanCreateUser implements rotator.Creator.
func (r Creator) CanCreateUser(_ context.Context, _ rotator.Origin, user string) error {
	return r.Mailu.Hook.around(Call{Op: OpKnows, User: user}, func() error { return r.Mailu.hasDomain(user) })
}

// CreateUser implements rotator.Creator.
func (r Creator) CreateUser(_ context.Context, _ rotator.Origin, user string, password crypto.Secret) error {
	return r.Mailu.Hook.around(Call{Op: OpCreateUser, User: user}, func() error {
		if err := r.Mailu.hasDomain(user); err != nil {
			return err
		}
		if r.Mailu.Password(user) != "" {
			return fmt.Errorf("create %s: %w: %w", user, rotator.ErrNotCreated, rotator.ErrRefused)
		}
		r.Mailu.AddUser(user, password.RevealString())
		return nil
	})
}

func (m *Mailu) hasDomain(user string) error {
	if _, domain, _ := strings.Cut(user, "@"); m.NoDomain == domain {
		return fmt.Errorf("no domain %s: %w", domain, rotator.ErrRefused)
	}
	return nil
}
