package vault_test

import (
	"errors"
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func TestDeletedRecordsAreAbsent(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	path := "smtp/" + string(tenant) + "/admin"
	for _, c2 := range []struct{ name, says string }{
		{"never written", "no such record"},
		{"soft deleted", "was deleted at"},
		{"destroyed", "is destroyed"},
		{"metadata deleted", "no such record"},
	} {
		t.Run(c2.name, func(t *testing.T) {
			switch c2.name {
			case "soft deleted":
				f.withTenant(t, map[string]any{"v": "1"})
				f.delete(t, "vault/data/"+path)
			case "destroyed":
				f.write(t, "vault/destroy/"+path, map[string]any{"versions": []int{1}})
			case "metadata deleted":
				f.delete(t, "vault/metadata/"+path)
			}

			_, err := c.Read(t.Context(), tenant)

			if !errors.Is(err, rotator.ErrAbsent) || !strings.Contains(err.Error(), c2.says) {
				t.Errorf("got %v, want ErrAbsent saying %q", err, c2.says)
			}
		})
	}
}

func TestWriteNeverCreates(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	f.delete(t, "vault/metadata/smtp/"+string(tenant)+"/admin")

	_, fresh := c.Write(t.Context(), tenant, rotator.Document{Version: 0, Fields: map[string]any{"v": "2"}})
	_, stale := c.Write(t.Context(), tenant, rotator.Document{Version: 1, Fields: map[string]any{"v": "2"}})

	if fresh == nil || !errors.Is(stale, rotator.ErrConflict) {
		t.Errorf("got %v and %v", fresh, stale)
	}
	if _, err := c.Read(t.Context(), tenant); !errors.Is(err, rotator.ErrAbsent) {
		t.Errorf("the record is back: %v", err)
	}
}

func TestDeletedTenantDoesNotComeBackUnderThePolicy(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))
	doc, err := c.Read(t.Context(), tenant)
	must(t, err)
	f.delete(t, "vault/metadata/smtp/"+string(tenant)+"/admin")

	_, err = c.Write(t.Context(), tenant, doc)

	if !errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if _, err := c.Read(t.Context(), tenant); !errors.Is(err, rotator.ErrAbsent) {
		t.Errorf("the record is back: %v", err)
	}
}

func TestEmptyPrefixIsAnError(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())

	names, err := listed(c.List(t.Context()))

	if err == nil || len(names) != 0 || !strings.Contains(err.Error(), `prefix "smtp" of mount "vault"`) {
		t.Errorf("got %q, %v", names, err)
	}
}
