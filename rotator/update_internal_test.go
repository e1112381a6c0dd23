package rotator

import (
	"context"
	"errors"
	"testing"

	"mailu-rotator/crypto"
)

// writes is a store that counts writes.
type writes struct {
	Store
	n int
}

func (w *writes) Write(context.Context, TenantID, Document) (int, error) {
	w.n++
	return w.n, nil
}

func TestWhatDoesNotOpenIsNeverMadeCurrent(t *testing.T) {
	const tenant, made = TenantID("0f8fad5b-d9cb-469f-a165-70867728950e"), "2026-01-01T00:00:00.000Z"
	ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: make([]byte, crypto.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	sealed, version, err := ring.Seal(crypto.Binding{TenantID: string(tenant), LastRotated: made}, crypto.SecretFromString("secret"))
	if err != nil {
		t.Fatal(err)
	}
	right := &Pending{Password: sealed, LastRotated: made, KeyVersion: version}
	former := map[string]any{"username": "admin@one.example", "webmail_url": "https://mail.example.com", "password": "b2xk", "last_rotated": "2026-02-02T00:00:00.000Z"}
	tests := []struct {
		name    string
		current Pending
		opens   bool
	}{
		{"as it was sealed", *right, true},
		{"with another date", Pending{Password: sealed, LastRotated: "2026-01-01T00:00:00Z", KeyVersion: version}, false},
		{"without a date", Pending{Password: sealed, KeyVersion: version}, false},
		{"with another key version", Pending{Password: sealed, LastRotated: made, KeyVersion: 2}, false},
		{"without a key version", Pending{Password: sealed, LastRotated: made}, true},
		{"another string", Pending{Password: "b2xkZXI=", LastRotated: made, KeyVersion: version}, false},
	}
	for _, test := range tests {
		for _, next := range []*Pending{nil, right} {
			t.Run(test.name, func(t *testing.T) {
				store := &writes{}
				c, err := ParseCredential(tenant, Document{Version: 1, Fields: former}, Policy{})
				if err != nil {
					t.Fatal(err)
				}
				x := &rotation{Rotator: &Rotator{Store: store, Keys: ring}, cred: c, next: next}
				c.promote(&test.current)

				_, err = x.store(t.Context(), c)

				if test.opens != (err == nil) || (store.n == 1) != test.opens || !test.opens && !errors.Is(err, errNothingWritten) {
					t.Errorf("%d writes, %v", store.n, err)
				}
			})
		}
	}
}

// A record whose current password does not open may be written unchanged in that
// respect: a claim or a pending password is how it gets fixed.
func TestACurrentPasswordThatStaysNeedNotOpen(t *testing.T) {
	store := &writes{}
	ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: make([]byte, crypto.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	c := Credential{Tenant: "0f8fad5b-d9cb-469f-a165-70867728950e", Version: 1, Password: "b2xk", LastRotated: "edited", fields: map[string]any{"password": "b2xk", "last_rotated": "edited"}}

	x := &rotation{Rotator: &Rotator{Store: store, Keys: ring}, cred: c}

	if _, err := x.store(t.Context(), c); err != nil || store.n != 1 {
		t.Errorf("%d writes, %v", store.n, err)
	}
}
