package vault_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
)

func (f *fixture) deleteAfter(t *testing.T, after string) {
	t.Helper()
	f.write(t, "vault/config", map[string]any{"delete_version_after": after})
}

func TestAReadSaysWhenTheVersionDeletesItself(t *testing.T) {
	f := newFixture(t)
	f.deleteAfter(t, "48h")
	f.withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))

	doc, err := c.Read(t.Context(), tenant)

	must(t, err)
	if doc.Written.IsZero() || !doc.Expires.Equal(doc.Written.Add(48*time.Hour)) {
		t.Errorf("written %s, expires %s", doc.Written, doc.Expires)
	}
}

func TestAReadOfARecordThatStaysSaysSo(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())

	doc, err := c.Read(t.Context(), tenant)

	if must(t, err); !doc.Expires.IsZero() {
		t.Errorf("expires %s", doc.Expires)
	}
}

func TestAVersionThatDeletedItselfIsToldFromADeletedOne(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for _, test := range []struct {
		name    string
		end     func()
		expired bool
		says    string
	}{
		{"by hand", func() { f.delete(t, "vault/data/smtp/"+string(tenant)+"/admin") }, false, "version 1 was deleted at 2"},
		{"by itself", func() {
			f.deleteAfter(t, "1s")
			f.withTenant(t, map[string]any{"v": "2"})
			f.awaitExpiry(t)
		}, true, "version 2 deleted itself at 2"},
	} {
		test.end()

		_, err := c.Read(t.Context(), tenant)

		var deleted *rotator.DeletedError
		if !errors.As(err, &deleted) || deleted.Expired != test.expired || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.says)
		}
	}
}

func TestAnUndeleteAloneStartsTheTimeAnew(t *testing.T) {
	f := newFixture(t)
	f.deleteAfter(t, "1s")
	f.withTenant(t, map[string]any{"v": "1"})
	f.awaitExpiry(t)
	time.Sleep(10 * time.Millisecond) // the new end is not a whole number of seconds after the version was written
	c := f.open(t, f.rootAuth())

	f.write(t, "vault/undelete/smtp/"+string(tenant)+"/admin", map[string]any{"versions": []string{"1"}})
	f.awaitExpiry(t)
	_, err := c.Read(t.Context(), tenant)

	var deleted *rotator.DeletedError
	if !errors.As(err, &deleted) || deleted.Expired || !strings.Contains(err.Error(), "version 1 was deleted at 2") {
		t.Errorf("got %v", err)
	}
}

// awaitExpiry waits until the tenant's newest version has expired.
func (f *fixture) awaitExpiry(t *testing.T) {
	t.Helper()
	for t.Context().Err() == nil {
		secret, err := f.root.Logical().ReadWithContext(t.Context(), "vault/data/smtp/"+string(tenant)+"/admin")
		if must(t, err); secret.Data["data"] == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A check-and-set write prepared before the record expired succeeds.
func TestAWriteBringsBackARecordThatDeletedItself(t *testing.T) {
	f := newFixture(t)
	f.deleteAfter(t, "1s")
	f.withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))
	doc, err := c.Read(t.Context(), tenant)
	must(t, err)
	f.awaitExpiry(t)
	f.deleteAfter(t, "0s")

	version, err := c.Write(t.Context(), tenant, doc)
	must(t, err)

	again, err := c.Read(t.Context(), tenant)
	if must(t, err); version != 2 || again.Version != 2 || !again.Expires.IsZero() {
		t.Errorf("version %d, then %d, expires %s", version, again.Version, again.Expires)
	}
}

// The three commands that doctor prints work on an engine and a record that both have
// the setting, and for an expired version as for one that has time left.
func TestHowToEndThatARecordDeletesItself(t *testing.T) {
	for _, after := range []string{"1s", "1h"} {
		t.Run(after, func(t *testing.T) {
			f := newFixture(t)
			f.write(t, "vault/config", map[string]any{"delete_version_after": after, "max_versions": 7})
			f.write(t, "vault/metadata/smtp/"+string(tenant)+"/admin", map[string]any{"delete_version_after": after, "max_versions": 5})
			f.withTenant(t, map[string]any{"v": "1"})
			c := f.open(t, f.rootAuth())
			if after == "1s" {
				f.awaitExpiry(t)
			}

			f.deleteAfter(t, "0s")
			_, err := f.root.Logical().JSONMergePatch(t.Context(), "vault/metadata/smtp/"+string(tenant)+"/admin", map[string]any{"delete_version_after": "0s"})
			must(t, err)
			f.write(t, "vault/undelete/smtp/"+string(tenant)+"/admin", map[string]any{"versions": []string{"1"}})

			doc, err := c.Read(t.Context(), tenant)
			if must(t, err); !doc.Expires.IsZero() {
				t.Errorf("it still expires at %s", doc.Expires)
			}
			doc.Version, err = c.Write(t.Context(), tenant, doc)
			must(t, err)
			if doc, err = c.Read(t.Context(), tenant); err != nil || !doc.Expires.IsZero() {
				t.Errorf("a new version expires at %s, %v", doc.Expires, err)
			}
			if kept := f.read(t, "vault/metadata/smtp/"+string(tenant)+"/admin")["max_versions"].(interface{ String() string }).String(); kept != "5" {
				t.Errorf("max_versions is %s now", kept)
			}
		})
	}
}

func TestADroppedVersionIsAbsentAndNotDeleted(t *testing.T) {
	f := newFixture(t)
	f.write(t, "vault/config", map[string]any{"max_versions": 1})
	for range 3 {
		f.withTenant(t, map[string]any{"v": "1"})
	}
	c := f.open(t, f.appRole(t, nil))

	_, err := c.ReadVersion(t.Context(), tenant, 2)

	var deleted *rotator.DeletedError
	if !errors.Is(err, rotator.ErrAbsent) || errors.As(err, &deleted) {
		t.Errorf("got %v", err)
	}
	if status := f.proxy.Count(http.MethodGet, dataOf); status != 1 {
		t.Errorf("%d requests", status)
	}
}
