package rotator_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// wellFormed is a record with all fields.
func wellFormed() map[string]any {
	return map[string]any{
		"username": userA, "password": "c2VhbGVk", "webmail_url": "https://mail.a.example/webmail",
		"created_at": "2025-01-01T00:00:00Z", "last_rotated": "2026-01-01T00:00:00Z",
		"rotation_policy": "30_days", "key_version": json.Number("2"),
		"pending": map[string]any{
			"password": "cGVuZGluZw==", "last_rotated": "2026-02-01T00:00:00.000Z", "key_version": json.Number("3"),
			"owner": "host/1/ab", "claimed_until": "2026-02-01T00:05:00.000Z", "takeovers": json.Number("1"),
		},
	}
}

// null stands for the value of a field that is present and null.
const null = jsonNull("null")

type jsonNull string

// with returns a well-formed record with one changed field; nil removes it.
func with(field string, value any) map[string]any {
	fields := wellFormed()
	set(fields, field, value)
	return fields
}

func set(fields map[string]any, field string, value any) {
	fields[field] = value
	if value == nil {
		delete(fields, field)
	}
	if _, isNull := value.(jsonNull); isNull {
		fields[field] = nil
	}
}

// withoutPasswordBut adds another field.
func withoutPasswordBut(field string, value any) map[string]any {
	fields := withoutPassword()
	set(fields, field, value)
	return fields
}

// withoutPassword has neither a current nor a pending password.
func withoutPassword() map[string]any {
	fields := with("password", nil)
	delete(fields, "pending")
	return fields
}

// pendingWith changes a field of pending.
func pendingWith(field string, value any) map[string]any {
	fields := wellFormed()
	set(fields["pending"].(map[string]any), field, value)
	return fields
}

func parse(t testing.TB, fields map[string]any) (rotator.Credential, error) {
	t.Helper()
	return rotator.ParseCredential(tenantA, rotator.Document{Version: 7, Fields: fields}, rotatortest.Policy(t, "180_days"))
}

func mustParse(t testing.TB, fields map[string]any) rotator.Credential {
	t.Helper()
	c, err := parse(t, fields)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACredentialHasWhatTheRecordSays(t *testing.T) {
	c := mustParse(t, wellFormed())

	if c.Tenant != tenantA || c.Version != 7 || c.Username != userA || c.Origin != originA || c.Password != "c2VhbGVk" {
		t.Errorf("got %+v", c)
	}
	if c.CreatedAt != "2025-01-01T00:00:00Z" || c.LastRotated != "2026-01-01T00:00:00Z" || c.Policy != rotatortest.Policy(t, "30_days") || c.KeyVersion != 2 {
		t.Errorf("got %+v", c)
	}
	p := c.Pending
	if p.Password != "cGVuZGluZw==" || p.LastRotated != "2026-02-01T00:00:00.000Z" || p.KeyVersion != 3 || p.Claim.Owner != "host/1/ab" ||
		p.Claim.Until.Format("15:04:05") != "00:05:00" || p.Claim.Takeovers != 1 {
		t.Errorf("got %+v", p)
	}
}

func TestMalformedFields(t *testing.T) {
	tests := []struct {
		name      string
		fields    map[string]any
		complaint string
	}{
		{"no username", with("username", nil), "username is missing"},
		{"empty username", with("username", ""), "username is missing"},
		{"username of another type", with("username", json.Number("1")), "username is not a string but the number 1"},
		{"username that is a list", with("username", []any{"a@b.example"}), "username is not a string but a list"},
		{"username without domain", with("username", "admin"), "not an e-mail address"},
		{"username with nothing before the @", with("username", "@a.example"), "not an e-mail address"},
		{"username with nothing behind the @", with("username", "admin@"), "not an e-mail address"},
		{"username with two @", with("username", "a@b@c"), "not an e-mail address"},
		{"username with a path", with("username", "../x@a.example"), "not an e-mail address"},
		{"username with an escape", with("username", "a%2fb@a.example"), "not an e-mail address"},
		{"username with a query", with("username", "a?b@a.example"), "not an e-mail address"},
		{"username with a space", with("username", "a b@a.example"), "not an e-mail address"},
		{"username with a line break", with("username", "a@a.example\n"), "not an e-mail address"},
		{"username too long", with("username", strings.Repeat("a", 254)+"@a.example"), "not an e-mail address"},
		{"no password", withoutPassword(), "password is missing"},
		{"empty password", with("password", ""), "password is missing"},
		{"password of another type", with("password", []any{"x"}), "password is not a string"},
		{"no webmail_url", with("webmail_url", nil), "webmail_url is missing"},
		{"webmail_url of another type", with("webmail_url", true), "webmail_url is not a string but true"},
		{"webmail_url without scheme", with("webmail_url", "mail.a.example"), "webmail_url: not an http or https URL"},
		{"webmail_url with credentials", with("webmail_url", "https://a:b@mail.a.example"), "webmail_url: URL for host"},
		{"policy that does not parse", with("rotation_policy", "6_months"), `rotation_policy "6_months" is neither`},
		{"empty policy", with("rotation_policy", ""), `rotation_policy "" is neither`},
		{"policy of digits", with("rotation_policy", "90"), `rotation_policy "90" is neither`},
		{"policy in words", with("rotation_policy", "90 days"), `rotation_policy "90 days" is neither`},
		{"policy in capitals", with("rotation_policy", "MANUAL"), `rotation_policy "MANUAL" is neither`},
		{"policy with spaces", with("rotation_policy", " 180_days "), `rotation_policy " 180_days " is neither`},
		{"policy of another type", with("rotation_policy", json.Number("90")), `rotation_policy is not a string but the number 90: "<n>_days" or "manual"`},
		{"policy that is an object", with("rotation_policy", map[string]any{"days": 90}), "rotation_policy is not a string but an object"},
		{"key_version 0", with("key_version", json.Number("0")), "key_version is not a whole number from 1"},
		{"negative key_version", with("key_version", "-1"), "key_version is not a whole number from 1"},
		{"fractional key_version", with("key_version", json.Number("1.5")), "key_version is not a whole number from 1 but the number 1.5"},
		{"wordy key_version", with("key_version", "v1"), `key_version is not a whole number from 1 but "v1"`},
		{"empty key_version", with("key_version", ""), `key_version is not a whole number from 1 but ""`},
		{"key_version of digits and a point", with("key_version", "1.0"), `key_version is not a whole number from 1 but "1.0"`},
		{"key_version in a list", with("key_version", []any{1}), "key_version is not a whole number from 1 but a list"},
		{"key_version true", with("key_version", true), "key_version is not a whole number from 1 but true"},
		{"key_version beyond any number", with("key_version", json.Number("1e400")), "key_version is not a whole number from 1"},
		{"key_version beyond an int", with("key_version", json.Number("2147483648.0")), "key_version is not a whole number from 1"},
		{"huge key_version", with("key_version", json.Number("99999999999999999999")), "key_version is not a whole number from 1"},
		{"pending of another type", with("pending", "x"), "pending is not an object"},
		{"pending that is a list", with("pending", []any{}), "pending is not an object"},
		{"empty pending", with("pending", map[string]any{}), "pending is malformed: it is empty"},
		{"pending of no characters", with("pending", ""), "pending is malformed: it is empty"},
		{"no password but an empty pending", withoutPasswordBut("pending", map[string]any{}), "password is missing; pending is malformed"},
		{"pending with a null password", pendingWith("password", null), "pending is malformed: password is missing"},
		{"pending without password", pendingWith("password", nil), "pending is malformed: password is missing"},
		{"pending without last_rotated", pendingWith("last_rotated", nil), "pending is malformed: last_rotated is missing"},
		{"pending without owner", pendingWith("owner", nil), "pending is malformed: owner is missing"},
		{"pending without claimed_until", pendingWith("claimed_until", nil), "claimed_until is missing"},
		{"pending claimed for ever", pendingWith("claimed_until", "for ever"), "claimed_until is not a timestamp"},
		{"pending with a bad key_version", pendingWith("key_version", "new"), "key_version is not a whole number from 1"},
		{"pending with bad takeovers", pendingWith("takeovers", json.Number("-1")), "takeovers is not a whole number"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(t, test.fields)

			if !errors.Is(err, rotator.ErrMalformed) || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("got %v, want %q", err, test.complaint)
			}
		})
	}
}

func TestAllComplaintsComeAtOnceOnOneLine(t *testing.T) {
	fields := with("rotation_policy", "weekly")
	fields["username"], fields["key_version"], fields["pending"] = "nobody", "x", json.Number("1")
	delete(fields, "password")

	c, err := parse(t, fields)

	for _, complaint := range []string{"password is missing", "weekly", "nobody", "key_version", "pending is not an object"} {
		if !strings.Contains(err.Error(), complaint) {
			t.Errorf("%v lacks %q", err, complaint)
		}
	}
	if strings.Contains(err.Error(), "\n") || c.Origin != originA || c.LastRotated == "" {
		t.Errorf("got %q beside %+v", err, c)
	}
}

func TestAnEmptyRecordIsMalformed(t *testing.T) {
	if _, err := parse(t, nil); !errors.Is(err, rotator.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestComplaintsHoldNoPassword(t *testing.T) {
	for _, secret := range []any{json.Number("4711"), []any{"4711"}, map[string]any{"x": "4711"}, true} {
		fields := with("password", secret)
		for _, pending := range []any{map[string]any{"password": secret}, "4711", secret} {
			fields["pending"] = pending

			_, err := parse(t, fields)

			if text := err.Error(); strings.Contains(text, "4711") || strings.Contains(text, "true") {
				t.Errorf("got %v", err)
			}
		}
	}
}

func TestJSONHoldsNoPasswordOfARecord(t *testing.T) {
	c := rotator.Candidate{Name: string(tenantA), Credential: mustParse(t, with("api_key", "not ours"))}
	serious, slight := rotator.IssuesOf(noon, c, 2, nil, nil)
	for _, value := range []any{c, c.Credential, c.Credential.Pending, rotator.StatusOf(noon, c, 1), rotator.NewFinding(c), serious, slight} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}

		for _, secret := range []string{"c2VhbGVk", "cGVuZGluZw==", "not ours"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%T: %s", value, text)
			}
		}
	}
}

func TestComplaintsAreShortWhateverARecordHolds(t *testing.T) {
	long := strings.Repeat("x\x1b", 100_000)
	for _, value := range []any{long, json.Number(strings.Repeat("9", 100_000)), []any{long}, map[string]any{long: long}} {
		fields := map[string]any{"password": "c2VhbGVk"}
		for _, field := range []string{"username", "webmail_url", "created_at", "last_rotated", "rotation_policy", "key_version"} {
			fields[field] = value
		}
		fields["pending"] = map[string]any{"password": "c2VhbGVk", "last_rotated": value, "owner": value, "claimed_until": value, "takeovers": value, "key_version": value}

		_, err := parse(t, fields)

		if text := err.Error(); len(text) > 1500 || strings.Contains(text, "\x1b") {
			t.Errorf("%d bytes: %.2000s", len(text), text)
		}
	}
}

func TestAnOwnersNameIsCut(t *testing.T) {
	c := mustParse(t, pendingWith("owner", strings.Repeat("ü", 1<<16)))

	if owner := c.Pending.Claim.Owner; owner != strings.Repeat("ü", 255) {
		t.Errorf("got %d bytes", len(owner))
	}
}

func TestNullIsNoValueOfAFieldThatIsNeeded(t *testing.T) {
	for _, field := range []string{"username", "webmail_url"} {
		_, err := parse(t, with(field, null))

		if err == nil || !strings.Contains(err.Error(), field+" is missing") {
			t.Errorf("%s: got %v", field, err)
		}
	}
	fields := withoutPassword()
	fields["password"] = nil
	if _, err := parse(t, fields); err == nil || !strings.Contains(err.Error(), "password is missing") {
		t.Errorf("got %v", err)
	}
	if c := mustParse(t, with("password", null)); !c.BeingAdded() {
		t.Error("a null password beside a pending one is no addition")
	}
}

func TestFieldsThatMayBeMissingOrOdd(t *testing.T) {
	for _, field := range []string{"created_at", "last_rotated", "rotation_policy", "key_version", "pending"} {
		t.Run("no "+field, func(t *testing.T) {
			mustParse(t, with(field, nil))
		})
	}
	for _, field := range []string{"created_at", "last_rotated", "rotation_policy", "key_version", "pending"} {
		t.Run("null "+field, func(t *testing.T) {
			absent, null := mustParse(t, with(field, nil)), mustParse(t, with(field, null))

			if null.Policy != absent.Policy || null.KeyVersion != absent.KeyVersion || null.LastRotated != absent.LastRotated || (null.Pending == nil) != (absent.Pending == nil) {
				t.Errorf("got %+v, want %+v", null, absent)
			}
		})
	}
	for _, field := range []string{"key_version", "takeovers"} {
		t.Run("null "+field+" of pending", func(t *testing.T) {
			mustParse(t, pendingWith(field, null))
		})
	}
	t.Run("takeovers of 0", func(t *testing.T) {
		mustParse(t, pendingWith("takeovers", json.Number("0")))
	})
	for _, field := range []string{"created_at", "last_rotated"} {
		t.Run(field+" that is no timestamp", func(t *testing.T) {
			mustParse(t, with(field, "yesterday"))
			mustParse(t, with(field, json.Number("1700000000")))
		})
	}
}

func TestAMissingPolicyIsTheDefault(t *testing.T) {
	if c := mustParse(t, with("rotation_policy", nil)); c.Policy != rotatortest.Policy(t, "180_days") {
		t.Errorf("got %s", c.Policy)
	}
}

func TestKeyVersionsMayBeNumbersOrStrings(t *testing.T) {
	for _, value := range []any{json.Number("2"), "2", 2, 2.0, json.Number("2.0"), json.Number("2e0")} {
		if c := mustParse(t, with("key_version", value)); c.KeyVersion != 2 {
			t.Errorf("%#v reads as %d", value, c.KeyVersion)
		}
	}
	if c := mustParse(t, with("key_version", nil)); c.KeyVersion != crypto.KeyVersion(0) {
		t.Errorf("a missing one reads as %d", c.KeyVersion)
	}
}

func TestFieldsOfOthersComeBackDigitForDigit(t *testing.T) {
	fields := wellFormed()
	others := map[string]any{
		"quota": json.Number("9007199254740993"), "limit": json.Number("1e400"), "ratio": json.Number("1.0"), "zero": json.Number("-0"),
		"note": "not ours", "none": nil, "flags": []any{true, json.Number("12345678901234567890")},
		"nested": map[string]any{"deep": json.Number("0.10"), "password": "not ours either"},
	}
	maps.Copy(fields, others)
	fields["pending"].(map[string]any)["ticket"] = json.Number("9007199254740993")
	before, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}

	doc := mustParse(t, fields).Document()

	after, err := json.Marshal(doc.Fields)
	if err != nil {
		t.Fatal(err)
	}
	if string(after) != string(before) || doc.Version != 7 {
		t.Errorf("got  %s\nwant %s", after, before)
	}
}

func TestWhatARecordLacksIsNotInvented(t *testing.T) {
	fields := map[string]any{"username": userA, "password": "c2VhbGVk", "webmail_url": "https://mail.a.example"}

	doc := mustParse(t, maps.Clone(fields)).Document()

	if !reflect.DeepEqual(doc.Fields, fields) {
		t.Errorf("got %v", doc.Fields)
	}
}

func TestADocumentIsACopy(t *testing.T) {
	fields := wellFormed()
	c := mustParse(t, fields)

	c.Pending.Claim.Owner = "another"
	_ = c.Document()
	c.Pending = nil
	doc := c.Document()

	if owner := fields["pending"].(map[string]any)["owner"]; owner != "host/1/ab" {
		t.Errorf("the owner that was read is %v", owner)
	}
	if _, found := doc.Fields["pending"]; found || fields["pending"] == nil {
		t.Errorf("got %v from %v", doc.Fields, fields)
	}
}

func FuzzParseCredential(f *testing.F) {
	for _, fields := range []map[string]any{
		wellFormed(), with("pending", nil), with("key_version", "2"), with("username", nil), pendingWith("owner", nil),
		with("rotation_policy", "x"), with("pending", []any{}), with("quota", json.Number("1e400")), pendingWith("key_version", nil),
		with("pending", ""), with("pending", map[string]any{}), with("pending", null), with("rotation_policy", null), with("key_version", json.Number("2.0")), pendingWith("takeovers", null),
	} {
		raw, err := json.Marshal(fields)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Add(`null`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, text string) {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		var fields map[string]any
		if decoder.Decode(&fields) != nil {
			return
		}
		c, err := parse(t, fields)
		if err != nil {
			return
		}

		again, err := parse(t, c.Document().Fields)

		if err != nil || again.Password != c.Password || again.KeyVersion != c.KeyVersion || again.LastRotated != c.LastRotated || (again.Pending == nil) != (c.Pending == nil) {
			t.Errorf("%s\ncomes back as %+v, %v", text, again, err)
		}
	})
}
